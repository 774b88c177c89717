"""LM-HT networks lose nothing from quantization on: every window of every neuron counts alike.

The quantized multi-threshold network, the single spikes of the lowered one, count mode and the
circuit in step mode are compared on random networks of up to six layers, 16 levels and six
windows. A circuit keeps the timetable of ``docs/lm-ht.md``.
"""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from hypothesis import event, given, reject, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples, run_stream
from targets.twin.counting import CountingNetwork
from targets.twin.layout import lay_out
from toolchain.errors import RangeError
from toolchain.ir.ann import Dense
from toolchain.ir.counts import sweep
from toolchain.ir.reference import decode, encode, evaluate, run
from toolchain.ir.snn import IntegrateFire, LmHt, MultiThreshold, Spiking
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_samples,
    random_windows,
    samples_of,
)

TARGET = TARGETS["loihi2"]
ONE_UNIT = 64
"""What a weight unit is in the registers ``u`` and ``v``."""
SEED = 20_240
NEURON_WINDOWS = 10**7


def compiled(random, samples, *, is_even=False, change=None):
    """Draw a network and take it through all phases; return it with samples for it.

    ``change`` gives neurons that stand for the drawn ones.
    """
    network = random_windows(random, is_even=is_even)
    if change is not None:
        network = network.swap(*(change(node) for node in network.of_type(LmHt)))
    x = random_samples(network, random, samples)
    try:
        stages = compile_network(network, x, TARGET, levels=1, lowering="temporal")
    except RangeError:  # weights of hundreds of thresholds for the step of a pixel
        reject()
    graph = stages.quantized
    if is_proved(graph):
        extremes = samples_of(graph.input, extreme_inputs(graph, random, samples))
        x = np.concatenate([x, extremes])
    return stages, x


def is_proved(graph):
    return all(node.bound == "proved" for node in graph.of_type(Spiking))


def multi_threshold(graph):
    """Return the quantized network with neurons that count at once."""
    return graph.swap(
        *(
            MultiThreshold(
                **{field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
            )
            for node in graph.of_type(IntegrateFire)
        )
    )


def total(of_nodes):
    return sum(int(values.sum()) for values in of_nodes.values())


def check(stages, x):
    """Compare all views; return how many windows of neurons were compared."""
    graph = stages.quantized
    encoded = encode(graph.input, x).astype(np.int64)
    counts = {node.name: after for node, _, after in sweep(multi_threshold(graph), x)}
    single = evaluate(graph, x)

    network = CountingNetwork(lay_out(graph), threads=1)
    counted, sums = network.counts(encoded), network.sums(encoded)
    stepped = run_samples(stages.circuit, encoded)

    compared = 0
    for node in graph.of_type(IntegrateFire):
        wanted = counts[node.name]
        np.testing.assert_array_equal(single[node.name].counts, wanted)
        np.testing.assert_array_equal(counted[node.name], wanted)
        np.testing.assert_array_equal(stepped.counts[node.name], wanted)
        compared += wanted.size
    last = counts[graph.producer(graph.output).name]
    np.testing.assert_array_equal(sums, last)
    np.testing.assert_array_equal(stepped.readout, last * ONE_UNIT)
    np.testing.assert_array_equal(decode(graph.output, last), run(graph, x))
    assert total(stepped.activity.spikes) == total(stepped.trace.activity.spikes)
    assert total(stepped.activity.wraps) == total(stepped.activity.saturations) == 0
    return compared


@settings(max_examples=60)
@given(st.randoms())
def test_every_view_counts_alike(random):
    stages, x = compiled(random, 6)
    event(f"proved: {is_proved(stages.quantized)}")

    assert check(stages, x) > 0


@settings(max_examples=60)
@given(st.randoms())
def test_gaps_in_mixing_and_lost_memory_change_nothing(random):
    """Windows that are not read, or read nothing, spike when they can and disturb no sample."""

    def change(node):
        drawn = [random.choice((0.0, 0.0, 1.0)) for _ in range(node.mixing.size)]
        mixing = node.mixing * np.reshape(drawn, node.mixing.shape)
        retention = random.choice((0.0, node.retention, 1.0))
        return dataclasses.replace(node, mixing=mixing, retention=retention)

    stages, x = compiled(random, 3, change=change)

    assert check(stages, x) > 0
    check_stream(stages, x)


@given(st.randoms())
def test_merged_windows_count_alike(random):
    stages, x = compiled(random, 6, is_even=True)

    assert {node.windows for node in stages.quantized.of_type(Spiking)} == {1}
    assert check(stages, x) > 0


@pytest.mark.slow
def test_ten_million_windows_of_neurons_count_alike():
    """Networks one after the other until so many counts have been compared, each four ways."""
    random = Random(SEED)
    compared = 0

    while compared < NEURON_WINDOWS:
        compared += check(*compiled(random, 64))

    assert compared >= NEURON_WINDOWS


@settings(max_examples=20)
@given(st.randoms())
def test_samples_one_after_the_other_do_not_disturb_each_other(random):
    check_stream(*compiled(random, 4))


def check_stream(stages, x):
    """Compare samples in a row with each by itself."""
    encoded = encode(stages.quantized.input, x).astype(np.int64)

    stream = run_stream(stages.circuit, encoded)

    alone = run_samples(stages.circuit, encoded)
    np.testing.assert_array_equal(stream.readout, alone.readout)
    for name, counts in alone.counts.items():
        np.testing.assert_array_equal(stream.counts[name], counts)


@given(st.randoms())
def test_a_window_spikes_in_its_own_steps(random):
    """A population's spikes in a window's fire steps are the counts of that window."""
    stages, x = compiled(random, 3)
    graph = stages.quantized
    encoded = encode(graph.input, x).astype(np.int64)
    names = [node.name for node in graph.of_type(IntegrateFire)]

    result = run_samples(stages.circuit, encoded, record=dict.fromkeys(names, ("spikes",)))

    for name in names:
        spikes, windows = result.trace.spikes[name], graph[name].windows
        of_window = np.split(spikes, windows, axis=2)
        for spikes in of_window:
            fired = np.flatnonzero(spikes.any(axis=(0, *range(2, spikes.ndim))))
            assert fired.size == 0 or fired[-1] - fired[0] < graph[name].levels


def banded(windows, above):
    """Return a mixing matrix that reads at most ``above`` windows ahead."""
    random = np.random.default_rng(windows)
    return np.tril(random.uniform(0.2, 1.0, (windows, windows)), above)


def deep(layers, levels, mixing):
    """Return a network of dense layers, all with the same mixing matrix but the first."""
    random = np.random.default_rng(7)
    nodes = []
    for index in range(layers):
        weight = random.normal(size=(5, 4 if index == 0 else 5))
        nodes.append(Dense(name=f"d{index}", weight=weight))
        nodes.append(
            LmHt(name=f"n{index}", levels=levels, threshold=1.0, mixing=mixing, retention=0.75)
        )
    return chain((4,), *nodes, Dense(name="last", weight=random.normal(size=(3, 5))))


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize(
    ("windows", "above"), [(1, 0), (2, 0), (2, 1), (4, 0), (4, 1), (4, 2), (4, 3)]
)
def test_a_layer_waits_for_as_many_windows_as_it_reads_ahead(windows, above, levels):
    """Its lag is one window more than the upper bandwidth of its matrix, D = 1 + above."""
    layers, lag = 3, 1 + above
    x = np.random.default_rng(1).normal(size=(8, 4))

    circuit = compile_network(
        deep(layers, levels, banded(windows, above)), x, TARGET, levels=1, lowering="temporal"
    ).circuit

    for layer in range(layers):
        window = circuit.windows[f"n{layer}"]
        assert window.start == 1 + layer * lag * levels
        assert window.length == windows * levels
    assert circuit.readout.step == 1 + (windows + (layers - 1) * lag) * levels
    assert circuit.latency == circuit.period == circuit.readout.step + 1


def gates(circuit, name, windows):
    """Return the step in which each window of a population is opened."""
    gate = circuit.nodes[f"{name}/gate"]
    opened = {}
    for step, values in gate.events:
        for window, value in enumerate(values[-windows:]):
            if value > 0:
                opened[window] = step + 1
    return [opened.get(window, 1) for window in range(windows)]


@pytest.mark.parametrize(("above", "lag"), [(0, 1), (3, 4)], ids=["lower", "full"])
def test_windows_stream_where_none_reads_ahead(above, lag):
    """Window t of a layer starts so many windows after window t of the layer before."""
    windows, levels = 4, 3
    x = np.random.default_rng(1).normal(size=(8, 4))

    circuit = compile_network(
        deep(3, levels, banded(windows, above)), x, TARGET, levels=1, lowering="temporal"
    ).circuit

    first = [1 + window * levels for window in range(windows)]
    for layer in range(3):
        wanted = [start + layer * lag * levels for start in first]
        assert gates(circuit, f"n{layer}", windows) == wanted


def test_a_window_that_no_layer_reads_ends_before_the_next_sample():
    """The second layer has two levels to the first one's nine, and does not read its last."""
    x = np.random.default_rng(1).normal(size=(8, 4))
    graph = deep(2, 2, np.array([[1.0, 0.0], [0.5, 0.0]]))
    graph = graph.swap(dataclasses.replace(graph["n0"], levels=9))

    stages = compile_network(graph, x, TARGET, levels=1, lowering="temporal")

    assert gates(stages.circuit, "n0", 2) == [1, 10]
    assert gates(stages.circuit, "n1", 2) == [10, 12]
    assert stages.circuit.readout.step == 19
    assert check(stages, x) > 0
    check_stream(stages, x)


def test_a_window_that_reads_and_remembers_nothing_need_not_wait():
    """Without memory no window inhibits another, and all of the first layer fire at once."""
    graph = deep(2, 3, np.diag([0.5, 0.75, 1.0]))
    forgetful = [dataclasses.replace(node, retention=0.0) for node in graph.of_type(LmHt)]
    x = np.random.default_rng(1).normal(size=(8, 4))

    circuit = compile_network(
        graph.swap(*forgetful), x, TARGET, levels=1, lowering="temporal"
    ).circuit

    assert gates(circuit, "n0", 3) == [1, 1, 1]
    assert gates(circuit, "n1", 3) == [4, 4, 4]
    assert circuit.latency == 8
