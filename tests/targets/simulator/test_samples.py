"""Samples keep to themselves, and their spikes and operations are booked one by one."""

from dataclasses import replace

import numpy as np
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from targets.simulator.step import everything, run_samples, run_stream, simulate
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Readout,
    Source,
    SparseSynapse,
    Window,
)

NEVER = 1 << 17


def deltas(shape):
    """One sample for each neuron of a source, in which it spikes alone."""
    size = int(np.prod(shape))
    return np.eye(size, dtype=np.int64).reshape(size, 1, *shape)


@given(st.integers(0, 2**32))
def test_a_spike_costs_an_operation_for_every_neuron_it_reaches(seed):
    random = np.random.default_rng(seed)
    stride, padding, dilation = (tuple(random.integers(1, 3, 2).tolist()) for _ in range(3))
    groups = int(random.choice([1, 2]))
    weight = random.integers(0, 2, (4, 4 // groups, *random.integers(1, 4, 2)))
    size = [
        (7 + 2 * p - d * (k - 1) - 1) // s + 1
        for p, d, k, s in zip(padding, dilation, weight.shape[2:], stride, strict=True)
    ]
    circuit = Circuit(
        name="conv",
        sources=(Source(name="in", shape=(4, 7, 7)),),
        populations=(Lif(name="out", shape=(4, *size), threshold=0),),
        synapses=(
            ConvSynapse(
                name="conv",
                source="in",
                target="out",
                weight=weight,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            ),
        ),
        inputs=("in",),
        period=2,
        latency=2,
        windows={"out": Window(1, 1)},
    )

    result = run_samples(circuit, deltas((4, 7, 7))[:, 0])

    reached = result.counts["out"].reshape(4 * 7 * 7, -1).sum(axis=1)
    np.testing.assert_array_equal(result.activity.synaptic_operations["conv"], reached)


def test_operations_are_counted_synapse_by_synapse_even_where_synapses_are_merged():
    weight = scipy.sparse.csr_matrix(np.array([[3, 0], [0, 0], [7, 5]]))
    explicit_zero = scipy.sparse.csr_matrix(([0, 2], ([0, 1], [1, 1])), shape=(3, 2))
    circuit = Circuit(
        name="merged",
        sources=(Source(name="in", shape=(2,), message_bits=4),),
        populations=(Lif(name="out", shape=(3,), threshold=NEVER, decay_u=4096),),
        synapses=(
            SparseSynapse(name="one", source="in", target="out", weight=weight),
            SparseSynapse(
                name="two", source="in", target="out", weight=explicit_zero, weight_exponent=3
            ),
        ),
        inputs=("in",),
        period=2,
        latency=2,
    )

    sent = {"in": np.array([[[2, -3], [0, 0]]])}

    trace = simulate(circuit, sent, 2, record={"out": ("u",)})

    assert trace.u["out"][0, 1].tolist() == [6 << 6, -48 << 6, -1 << 6]
    assert trace.activity.spikes["in"].tolist() == [2]
    assert trace.activity.synaptic_operations["one"].tolist() == [3]
    assert trace.activity.synaptic_operations["two"].tolist() == [1]


def test_samples_side_by_side_give_what_samples_one_after_the_other_give(integrate_then_fire):
    case = integrate_then_fire

    beside = run_samples(case.circuit, case.inputs)
    stream = run_stream(case.circuit, case.inputs)

    np.testing.assert_array_equal(beside.readout, case.outputs)
    np.testing.assert_array_equal(beside.counts["conv"], case.counts)
    np.testing.assert_array_equal(beside.counts["pool"], case.pooled)
    np.testing.assert_array_equal(stream.readout, beside.readout)
    for name, counts in beside.counts.items():
        np.testing.assert_array_equal(stream.counts[name], counts)
    for book in ("spikes", "synaptic_operations", "saturations", "wraps"):
        for name, counts in getattr(beside.activity, book).items():
            np.testing.assert_array_equal(getattr(stream.activity, book)[name], counts)
            assert getattr(stream.trace.activity, book)[name].tolist() == [counts.sum()]


def test_the_size_of_a_chunk_changes_nothing(integrate_then_fire):
    circuit, x = integrate_then_fire.circuit, integrate_then_fire.inputs
    record = everything(circuit)

    whole = run_samples(circuit, x, record=record)
    single = run_samples(circuit, x, record=record, memory_bytes=1)

    np.testing.assert_array_equal(single.readout, whole.readout)
    np.testing.assert_array_equal(single.counts["conv"], whole.counts["conv"])
    np.testing.assert_array_equal(single.trace.u["conv"], whole.trace.u["conv"])
    for name, spikes in whole.activity.spikes.items():
        np.testing.assert_array_equal(single.activity.spikes[name], spikes)


def test_overlapping_samples_each_keep_their_own_counts():
    """Memoryless layers take a sample in every step, while others are still on their way."""
    weight = np.array([[1, 0], [0, 1]])
    layer = Lif(name="a", shape=(2,), threshold=0, decay_u=4096, decay_v=4096)
    circuit = Circuit(
        name="pipeline",
        sources=(Source(name="in", shape=(2,)),),
        populations=(layer, replace(layer, name="b", threshold=NEVER)),
        synapses=(
            DenseSynapse(name="in->a", source="in", target="a", weight=weight),
            DenseSynapse(name="a->b", source="a", target="b", weight=weight),
        ),
        inputs=("in",),
        period=1,
        latency=3,
        windows={"a": Window(1, 1)},
        readouts=(Readout("b", 2),),
    )
    x = np.array([[1, 0], [0, 0], [1, 1]])

    beside, stream = run_samples(circuit, x), run_stream(circuit, x)

    for result in (beside, stream):
        np.testing.assert_array_equal(result.readout, x << 6)
        np.testing.assert_array_equal(result.counts["a"], x)
        assert result.activity.spikes["a"].tolist() == [1, 0, 2]


def test_copies_of_a_unit_are_counted_together():
    circuit = Circuit(
        name="bank",
        sources=(Source(name="in", shape=(2, 1, 1), message_bits=4),),
        populations=(
            Lif(
                name="bank",
                shape=(6, 1, 1),
                threshold=np.tile([0, 1, 2], 2).reshape(6, 1, 1),
                decay_u=4096,
                decay_v=4096,
            ),
        ),
        synapses=(
            ConvSynapse(
                name="conv",
                source="in",
                target="bank",
                weight=np.repeat(np.eye(2, dtype=np.int64), 3, 0)[:, :, None, None],
            ),
        ),
        inputs=("in",),
        period=2,
        latency=2,
        windows={"bank": Window(1, 1, copies=3)},
    )

    result = run_samples(circuit, np.array([2, 7, -1, 1]).reshape(2, 2, 1, 1))

    assert result.counts["bank"].shape == (2, 2, 1, 1)
    assert result.counts["bank"].ravel().tolist() == [2, 3, 0, 1]


def test_spikes_outside_of_the_window_belong_to_the_run_and_not_to_the_sample(one_neuron):
    result = run_samples(one_neuron(threshold=1, decay_v=4096), np.array([[1]]))

    assert result.counts["out"].tolist() == [[2]]
    assert result.activity.spikes["out"].tolist() == [2]
    assert result.trace.activity.spikes["out"].tolist() == [3]


def test_only_counts_asked_for_are_returned(one_neuron):
    result = run_samples(one_neuron(), np.array([[1]]), count=())

    assert not result.counts
    assert result.readout.tolist() == [[2 * 6400]]
