"""Samples that overlap in the circuit are each counted as if they were alone.

What `toolchain.schedule` says of a circuit is compared with what step mode does in a row of
samples, and with the counts of the graph.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples, run_stream
from toolchain.errors import CapacityError, ConversionError, UnknownNameError
from toolchain.frontend.testing import import_text
from toolchain.ir.ann import Conv, Dense, MaxPool, Relu
from toolchain.ir.counts import sweep
from toolchain.ir.ends import encode_samples
from toolchain.ir.mapped import Lif
from toolchain.ir.packing import pack
from toolchain.ir.snn import LmHt, Spiking
from toolchain.schedule import (
    PIPELINED,
    SEQUENTIAL,
    has_memory,
    periods_of,
    schedule_of,
    scheduled,
)
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_branches,
    random_ends,
    random_network,
    random_samples,
    random_windows,
    samples_of,
)

TARGET = TARGETS["loihi2"]
NETWORKS = {
    "plain": random_network,
    "branches": random_branches,
    "windows": random_windows,
    "several inputs and outputs": random_ends,
}


def compiled(random, draw, lowering):
    """Return the stages of a random network, and samples, extreme ones where that is proved."""
    graph = draw(random)
    x = random_samples(graph, random, 6)
    try:
        stages = compile_network(
            graph, x, TARGET, levels=random.randint(1, 9), lowering=lowering
        )
    except (ConversionError, CapacityError):
        assume(False)
    quantized = stages.quantized
    is_proved = all(node.bound == "proved" for node in quantized.of_type(Spiking))
    if is_proved and len(quantized.inputs) == 1:
        extremes = samples_of(quantized.input, extreme_inputs(quantized, random, 4))
        x = random.choice([x, np.concatenate([x, extremes])])
    return stages, x[np.array(random.sample(range(len(x)), len(x)))]


def check(stages, x, schedule):
    """Compare samples one after the other with the counts of the graph, and each alone."""
    graph, circuit = stages.quantized, scheduled(stages.circuit, schedule)
    inputs = encode_samples(graph, x)
    counted = {node.name: counts for node, _, counts in sweep(graph, x)}

    stream, alone = run_stream(circuit, inputs), run_samples(circuit, inputs)

    for result in (stream, alone):
        for node in graph.of_type(Spiking):
            np.testing.assert_array_equal(result.counts[node.name], counted[node.name])
        readout = circuit.in_weight_units(result.readout)
        sums = pack([counted[node.inputs[0]] for node in graph.outputs])
        np.testing.assert_array_equal(readout, sums)
    return circuit, stream


@pytest.mark.parametrize("draw", NETWORKS.values(), ids=NETWORKS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.randoms())
def test_no_sample_disturbs_another_in_the_pipeline(draw, random):
    """All spikes lie in windows of samples, whichever samples are before and after."""
    stages, x = compiled(random, draw, "temporal")

    circuit, stream = check(stages, x, PIPELINED)

    assert circuit.period < circuit.latency == stages.circuit.latency
    for name, spikes in stream.trace.activity.spikes.items():
        np.testing.assert_array_equal(spikes.sum(), stream.activity.spikes[name].sum())


@pytest.mark.parametrize("lowering", ["spatial", "radix"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.randoms(), st.sampled_from([*NETWORKS]), st.sampled_from([SEQUENTIAL, PIPELINED]))
def test_other_lowerings_take_either_schedule(lowering, random, kind, schedule):
    assume(lowering == "spatial" or kind != "windows")
    stages, x = compiled(random, NETWORKS[kind], lowering)

    circuit, _ = check(stages, x, schedule)

    assert schedule_of(circuit) == schedule


def dense(name, rows, columns):
    return Dense(name=name, weight=np.random.default_rng(rows).normal(0.3, 1, (rows, columns)))


def perceptron(hidden):
    layers = [
        node for k in range(hidden) for node in (dense(f"d{k}", 5, 5), Relu(name=f"n{k}"))
    ]
    return chain((5,), *layers, dense("last", 3, 5))


def circuit_of(graph, levels, lowering="temporal", **options):
    x = np.random.default_rng(3).normal(0.5, 1, (16, *graph.input.shape))
    stages = compile_network(graph, x, TARGET, levels=levels, lowering=lowering, **options)
    return stages.circuit


@pytest.mark.parametrize("levels", [1, 4, 9])
@pytest.mark.parametrize("hidden", [2, 3, 6])
def test_a_chain_takes_a_sample_every_two_trains_however_deep_it_is(hidden, levels):
    circuit = circuit_of(perceptron(hidden), levels, schedule=PIPELINED)

    assert circuit.period == max(2 * levels, levels + 1)
    assert circuit.latency == hidden * levels + 2


def test_a_single_layer_gathers_in_one_step():
    assert circuit_of(perceptron(1), 7, schedule=PIPELINED).period == 8


def test_pools_add_to_the_latency_alone():
    weights = (np.ones((2, 1, 3, 3)), np.ones((2, 2, 3, 3)))
    convolutions = [Conv(name=f"c{k}", weight=weight) for k, weight in enumerate(weights)]
    pool = MaxPool(name="pool", kernel=(2, 2), stride=(1, 1))
    graph = chain(
        (1, 8, 8), convolutions[0], Relu(name="a"), pool, convolutions[1], Relu(name="b")
    )

    circuit = circuit_of(graph, 4, schedule=PIPELINED)

    assert (circuit.period, circuit.latency) == (8, 11)


RESIDUAL = """net (float[N, 4] x) => (float[N, 4] y) {
    a = MatMul (x, w)  h = Relu (a)  b = MatMul (h, w)  i = Relu (b)
    c = MatMul (i, w)  s = Add (c, h)  r = Relu (s)
    d = MatMul (r, w)  k = Relu (d)  y = MatMul (k, w) }"""


def test_a_skip_lengthens_the_period_by_what_it_passes():
    """`r` gathers from the first spike of `h` until the last of `i`, which is a layer later."""
    weight = np.random.default_rng(1).normal(0.4, 1, (4, 4)).astype(np.float32)
    graph = import_text(RESIDUAL, w=weight).graph

    circuit = circuit_of(graph, 5, schedule=PIPELINED)

    assert (circuit.period, circuit.latency) == (3 * 5, 4 * 5 + 2)


@pytest.mark.parametrize(("above", "lag"), [(0, 1), (1, 2), (2, 3)])
def test_windows_are_gathered_and_fired_one_after_the_other(above, lag):
    """A layer holds its three windows from the first spike of the one before to its last."""
    neurons = [
        LmHt(
            name=f"n{k}",
            levels=2,
            threshold=1.0,
            mixing=np.tril(np.ones((3, 3)), above),
            retention=0.5,
        )
        for k in range(3)
    ]
    layers = [node for k, n in enumerate(neurons) for node in (dense(f"d{k}", 5, 5), n)]

    circuit = circuit_of(chain((5,), *layers, dense("last", 3, 5)), 1, schedule=PIPELINED)

    assert circuit.period == (3 + lag) * 2
    assert circuit.latency == (3 + 2 * lag) * 2 + 2


def test_a_population_forgets_when_the_first_spike_of_the_next_sample_arrives():
    circuit = circuit_of(perceptron(3), 4, schedule=PIPELINED)

    resets = {
        node.name: (node.reset_offset, node.reset_interval) for node in circuit.populations
    }
    assert resets == {"n0": (1, 8), "n1": (2, 8), "n2": (6, 8), "y/readout": (10 % 8, 8)}
    first = {source.name: source.events[0][0] for source in circuit.sources if source.events}
    assert first == {"n0/gate": 0, "n1/gate": 1, "n2/gate": 5}


def test_neurons_without_memory_are_not_reset():
    pool = MaxPool(name="pool", kernel=(2, 2), stride=(1, 1))
    graph = chain((1, 6, 6), Conv(name="c", weight=np.ones((1, 1, 3, 3))), Relu(name="a"), pool)

    circuit = circuit_of(graph, 4, schedule=PIPELINED)

    assert {n.name: n.reset_interval is not None for n in circuit.populations} == {
        n.name: has_memory(n) for n in circuit.populations
    }
    assert circuit.nodes["pool"].reset_interval is None


def test_no_shorter_period_would_do():
    """A saturated chain: a step earlier, a sample arrives while another is subtracted."""
    graph = perceptron(3)
    positive = [
        dataclasses.replace(n, weight=np.ones(n.weight.shape)) for n in graph.of_type(Dense)
    ]
    circuit = circuit_of(graph.swap(*positive), 4, schedule=PIPELINED)
    hasty = dataclasses.replace(
        circuit,
        sources=tuple(dataclasses.replace(s, message_bits=24) for s in circuit.sources),
        period=circuit.period - 1,
        populations=tuple(
            dataclasses.replace(
                node,
                reset_interval=circuit.period - 1,
                reset_offset=node.reset_offset % (circuit.period - 1),
            )
            for node in circuit.populations
            if isinstance(node, Lif)
        ),
    )
    x = np.full((4, 5), 100)

    counts = {
        name: run_stream(c, x).counts["n1"] for name, c in (("ours", circuit), ("less", hasty))
    }

    assert (counts["ours"] == 4).all()
    assert (counts["less"] != 4).any()


def test_a_schedule_that_a_circuit_has_changes_nothing():
    circuit = circuit_of(perceptron(2), 3)

    assert scheduled(circuit, "auto") is circuit
    assert scheduled(circuit, SEQUENTIAL) is circuit
    pipelined = scheduled(circuit, PIPELINED)
    assert scheduled(pipelined, PIPELINED) is pipelined


def test_both_periods_are_known_whichever_a_circuit_has():
    circuits = [circuit_of(perceptron(3), 4, schedule=name) for name in (SEQUENTIAL, PIPELINED)]

    assert [periods_of(circuit) for circuit in circuits] == [
        {SEQUENTIAL: 14, PIPELINED: 8},
        {SEQUENTIAL: 14, PIPELINED: 8},
    ]
    assert [schedule_of(circuit) for circuit in circuits] == [SEQUENTIAL, PIPELINED]


def test_an_unknown_schedule_lists_those_there_are():
    with pytest.raises(UnknownNameError) as error:
        scheduled(circuit_of(perceptron(1), 1), "parallel")

    assert str(error.value) == (
        "look-up: no schedule is called 'parallel'; known: auto, sequential, pipelined"
    )


TWO_HEADS = """net (float[N, 4] x) => (float[N, 4] early, float[N, 4] late) {
    a = MatMul (x, w)  h = Relu (a)  early = MatMul (h, w)
    b = MatMul (h, w)  i = Relu (b)  c = MatMul (i, w)  j = Relu (c)  late = MatMul (j, w) }"""


def test_an_early_answer_does_not_wait_for_a_late_one():
    weight = np.random.default_rng(1).normal(0.4, 1, (4, 4)).astype(np.float32)
    graph = import_text(TWO_HEADS, w=weight).graph
    sequential = circuit_of(graph, 3)

    circuit = scheduled(sequential, PIPELINED)

    assert [readout.step for readout in sequential.readouts] == [10, 10]
    assert [readout.step for readout in circuit.readouts] == [4, 10]
    assert (circuit.period, circuit.latency) == (6, 11)
    x = np.random.default_rng(2).integers(-100, 100, (7, 4))
    alone = run_samples(sequential, x)
    np.testing.assert_array_equal(run_stream(circuit, x).readout, alone.readout)
