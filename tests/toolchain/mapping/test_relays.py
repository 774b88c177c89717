"""Branches meet in time: spikes wait in relays, or neurons gather, which changes no count."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.engine import ENGINES, Program
from toolchain.errors import CapacityError
from toolchain.frontend.testing import import_text, small_integers
from toolchain.ir.ann import Rearrange
from toolchain.ir.counts import sweep
from toolchain.ir.mapped import SparseSynapse
from toolchain.ir.reference import encode
from toolchain.ir.snn import Spiking, ThresholdBank
from toolchain.mapping._draft import Draft
from toolchain.target import TARGETS
from toolchain.testing import compile_network

TARGET = TARGETS["loihi2"]
LONG = """net (float[N, 4] x) => (float[N, 4] y) {
    a = MatMul (x, v)  h = Relu (a)  b = MatMul (h, w)  g = Relu (b)
    c = MatMul (g, v)  i = Relu (c)  d = MatMul (i, w)  s = Add (d, h)  j = Relu (s)
    y = MatMul (j, w) }"""
FROM_THE_INPUT = """net (float[N, 4] x) => (float[N, 4] y) {
    a = MatMul (x, v)  h = Relu (a)  b = MatMul (h, w)  s = Add (b, x)  j = Relu (s)
    y = MatMul (j, w) }"""
SHUFFLED = """net (float[N, 2, 2, 2] x) => (float[N, 3, 4, 4] y) {
    a = Conv (x, k1)  h = Relu (a)  [up] u = Resize (h, , twice)
    y = Conv <pads = [1, 1, 1, 1]> (u, k3) }"""


def compiled(text, lowering, levels=3):
    weights = {
        "v": small_integers(4, 4, seed=1),
        "w": small_integers(4, 4, seed=2),
        "k1": small_integers(3, 2, 1, 1, seed=3),
        "k3": small_integers(3, 3, 3, 3, seed=4),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    used = {name: array for name, array in weights.items() if f", {name})" in text}
    graph = import_text(text, **used).graph
    x = np.random.default_rng(0).normal(size=(16, *graph.input.shape)).astype(np.float32)
    return compile_network(graph, x, TARGET, levels=levels, lowering=lowering), x


def check(stages, x):
    """Compare the counts of the circuit with those of the quantized graph."""
    graph = stages.quantized
    counted = {node.name: counts for node, _, counts in sweep(graph, x)}
    inputs = encode(graph.input, x).astype(np.int64)

    stepped = ENGINES["step"].run(Program(graph, stages.circuit), inputs, trace=False)

    for node in graph.of_type(Spiking):
        np.testing.assert_array_equal(stepped.counts[node.name], counted[node.name])
    np.testing.assert_array_equal(stepped.readout, counted[graph.output.inputs[0]])
    assert stepped.saturations == 0


def test_without_memory_the_shorter_branch_waits_in_relays():
    stages, x = compiled(LONG, "spatial")
    circuit = stages.circuit

    windows = {name: window.start for name, window in circuit.windows.items()}
    assert windows == {
        "Relu:h": 1,
        "Relu:g": 2,
        "Relu:h/later1": 2,
        "Relu:i": 3,
        "Relu:h/later2": 3,
        "Relu:j": 4,
    }
    (read,) = (s for s in circuit.synapses if s.target == "Relu:j" and "later" in s.source)
    assert read.source == "Relu:h/later2"
    check(stages, x)


def test_relays_behind_one_population_are_shared():
    text = LONG.replace("y = MatMul (j, w)", "e = MatMul (j, w)  y = Add (e, h)")

    stages, x = compiled(text, "spatial")

    later = [name for name in stages.circuit.windows if "later" in name]
    assert later == ["Relu:h/later1", "Relu:h/later2", "Relu:h/later3"]
    check(stages, x)


def test_neurons_with_a_memory_need_no_relays():
    stages, x = compiled(LONG, "temporal")

    assert not [name for name in stages.circuit.windows if "later" in name]
    check(stages, x)


def test_a_network_whose_input_joins_later_layers_gathers():
    stages, x = compiled(FROM_THE_INPUT, "spatial")

    assert all(bank.gathers for bank in stages.quantized.of_type(ThresholdBank))
    assert stages.circuit.period == stages.circuit.latency
    assert not [name for name in stages.circuit.windows if "later" in name]
    check(stages, x)


def test_other_networks_do_not_gather_and_take_a_sample_every_step():
    stages, _ = compiled(LONG, "spatial")

    assert not any(bank.gathers for bank in stages.quantized.of_type(ThresholdBank))
    assert stages.circuit.period == 1


def test_the_input_cannot_wait():
    stages, _ = compiled(LONG, "spatial")
    draft = Draft(stages.quantized, TARGET)
    draft.add_input(stages.quantized.input)

    with pytest.raises(CapacityError) as error:
        draft._delayed("x", 1)

    assert str(error.value) == (
        "map at 'x': the input cannot wait in neurons without memory\n"
        "  hint: use --lowering temporal, or begin the network with an activation"
    )


@pytest.mark.parametrize(("lowering", "copies"), [("temporal", 1), ("spatial", 3)])
def test_spikes_in_another_order_pass_relays_a_step_later(lowering, copies):
    stages, x = compiled(SHUFFLED, lowering)
    circuit = stages.circuit

    (relay,) = stages.quantized.of_type(Rearrange)
    neurons = circuit.nodes[relay.name]
    before, after = (circuit.windows[name] for name in (relay.inputs[0], relay.name))
    assert neurons.shape == (3 * copies, 4, 4)
    assert (after.start, after.length) == (before.start + 1, before.length)
    (synapse,) = circuit.into(relay.name)
    assert isinstance(synapse, SparseSynapse)
    assert synapse.weight.getnnz() == int(np.prod(neurons.shape))
    check(stages, x)


def test_neurons_between_which_zeros_are_inserted_never_spike():
    text = SHUFFLED.replace("[up] u = Resize (h, , twice)", "").replace(
        "y = Conv <pads = [1, 1, 1, 1]> (u, k3)",
        "[up] y = ConvTranspose <strides = [2, 2], output_padding = [1, 1], "
        "pads = [1, 1, 1, 1]> (h, k3)",
    )

    stages, x = compiled(text, "temporal")

    (relay,) = stages.quantized.of_type(Rearrange)
    (synapse,) = stages.circuit.into(relay.name)
    assert stages.circuit.nodes[relay.name].shape == (3, 3, 3)
    assert synapse.weight.getnnz() == 3 * 2 * 2
    check(stages, x)
