"""Circuits keep the timetable that their lowering promises, and say what they cannot hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from targets.simulator.step import run_samples
from toolchain.errors import CapacityError, ConversionError, UnknownNameError
from toolchain.ir.ann import Conv, Dense, Encoding, Input, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.mapped import Window
from toolchain.ir.snn import OrPool, Spiking, ThresholdBank
from toolchain.mapping import MAPPINGS
from toolchain.target import TARGETS, Limit
from toolchain.testing import (
    chain,
    chain_from,
    compile_network,
    random_network,
    random_samples,
)

TARGET = TARGETS["loihi2"]


def numbers(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def network():
    return chain(
        (2, 6, 6),
        Conv(name="conv1", weight=numbers(3, 2, 3, 3)),
        Relu(name="relu1"),
        MaxPool(name="pool1", kernel=(2, 2), stride=(2, 2)),
        Conv(name="conv2", weight=numbers(4, 3, 2, 2)),
        Relu(name="relu2"),
        Rearrange(name="flat", shape=(4,)),
        Dense(name="dense1", weight=numbers(5, 4), bias=np.ones(5, np.float32)),
        Relu(name="relu3"),
        Dense(name="dense2", weight=numbers(2, 5)),
    )


def compiled(lowering, levels=4, graph=None):
    x = np.random.default_rng(5).normal(size=(8, 2, 6, 6))
    return compile_network(graph or network(), x, TARGET, levels=levels, lowering=lowering)


@pytest.mark.parametrize("levels", [1, 4, 9])
def test_in_time_a_layer_waits_for_all_spikes_of_the_one_before(levels):
    circuit = compiled("temporal", levels).circuit

    assert dict(circuit.windows) == {
        "relu1": Window(1, levels),
        "pool1": Window(2, levels),
        "relu2": Window(levels + 2, levels),
        "relu3": Window(2 * levels + 2, levels),
    }
    assert circuit.readout.step == 3 * levels + 2
    assert circuit.latency == circuit.period == 3 * levels + 3


@pytest.mark.parametrize("levels", [1, 4, 9])
def test_in_space_a_layer_takes_a_step(levels):
    circuit = compiled("spatial", levels).circuit

    assert dict(circuit.windows) == {
        "relu1": Window(1, 1, levels),
        "pool1": Window(2, 1, levels),
        "relu2": Window(3, 1, levels),
        "relu3": Window(4, 1, levels),
    }
    assert circuit.readout.step == 5
    assert (circuit.latency, circuit.period) == (6, 1)


def test_in_space_every_level_is_a_neuron():
    circuit = compiled("spatial", 4).circuit

    assert {p.name: p.shape for p in circuit.populations} == {
        "relu1": (12, 4, 4),
        "pool1": (12, 2, 2),
        "relu2": (16, 1, 1),
        "relu3": (20,),
        "y/readout": (2,),
    }


def test_in_time_every_unit_is_a_neuron():
    circuit = compiled("temporal", 4).circuit

    assert {p.name: p.shape for p in circuit.populations} == {
        "relu1": (3, 4, 4),
        "pool1": (3, 2, 2),
        "relu2": (4, 1, 1),
        "relu3": (5,),
        "y/readout": (2,),
    }


def test_in_space_nothing_is_remembered():
    circuit = compiled("spatial").circuit

    assert {(p.decay_u, p.decay_v, p.reset_interval) for p in circuit.populations} == {
        (4096, 4096, None)
    }


def test_in_time_everything_is_forgotten_before_the_next_sample():
    circuit = compiled("temporal").circuit

    assert {p.reset_interval for p in circuit.populations} == {circuit.period}
    assert {p.reset_offset for p in circuit.populations} == {0}


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_every_population_has_its_window_and_its_neurons(lowering, random):
    graph = random_network(random)
    x = random_samples(graph, random, 4)
    levels = random.randint(1, 9)
    try:
        stages = compile_network(graph, x, TARGET, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)

    circuit, graph = stages.circuit, stages.quantized
    counted = [node.name for node in graph if isinstance(node, (Spiking, OrPool))]
    assert [name for name in circuit.windows if name in counted] == counted
    for name in counted:
        window = circuit.windows[name]
        neurons = int(np.prod(circuit.nodes[name].shape))
        assert neurons == window.copies * int(np.prod(graph.shapes[name]))
        assert window.length * window.copies == levels
        assert 0 < window.start < window.start + window.length <= circuit.readout.step
    assert circuit.latency == circuit.readout.step + 1
    assert circuit.input == "x"
    assert circuit.sources[0].message_bits == graph.input.encoding.message_bits


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_neurons_do_not_spike_before_their_window(lowering):
    """Saturated from the first step on, they would if anything let them."""
    graph = network()
    biased = [
        dataclasses.replace(graph[name], bias=np.full(shape, 50, np.float32))
        for name, shape in (("conv1", (3, 1, 1)), ("conv2", (4, 1, 1)), ("dense1", (5,)))
    ]
    stages = compiled(lowering, graph=graph.swap(*biased))
    x = np.zeros((2, 2, 6, 6), np.int64)
    names = list(stages.circuit.windows)

    result = run_samples(stages.circuit, x, record=dict.fromkeys(names, ("spikes",)))

    if lowering == "temporal":
        for name, window in stages.circuit.windows.items():
            spikes = result.trace.spikes[name]
            outside = np.delete(spikes, range(window.start, window.start + window.length), 1)
            assert spikes.any()
            assert not outside.any()
    assert result.counts["relu3"].max() == 4


def quantized(lowering="spatial"):
    return compiled(lowering).quantized


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_an_order_between_populations_is_relayed_one_step_later(lowering):
    graph = quantized(lowering)
    plain = MAPPINGS[lowering](graph, TARGET)
    order = Rearrange(name="flat", inputs=("relu2",), shape=(4,), order=np.array([2, 0, -1, 2]))

    circuit = MAPPINGS[lowering](graph.swap(order), TARGET)

    assert "flat" in circuit.nodes
    assert circuit.latency == plain.latency + 1


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_an_input_without_encoding_is_refused_by_name(lowering):
    graph = quantized(lowering)
    graph = graph.swap(dataclasses.replace(graph["x"], encoding=None))

    with pytest.raises(CapacityError) as error:
        MAPPINGS[lowering](graph, TARGET)

    assert str(error.value) == "map at 'x': the input is not encoded as integers"


def narrow(bits):
    return dataclasses.replace(TARGET, message_bits=Limit(bits, "bit", "a test", "assumed"))


def test_an_input_wider_than_a_message_is_refused_by_name():
    with pytest.raises(CapacityError) as error:
        MAPPINGS["spatial"](quantized(), narrow(7))

    assert str(error.value) == (
        "map at 'x': a payload takes 8 bits; a graded spike has 7\n  hint: lower --levels"
    )


def test_a_gate_wider_than_a_message_is_refused_by_name():
    with pytest.raises(CapacityError, match="a graded spike has 8") as error:
        MAPPINGS["temporal"](quantized("temporal"), narrow(8))

    assert error.value.node.startswith("relu")


def test_neurons_that_no_layer_feeds_are_refused_by_name():
    entry = Input(name="x", shape=(2,), source_shape=(2,), encoding=Encoding(1.0, 0, 1))
    neurons = ThresholdBank(name="n", levels=1, threshold=np.array(1), initial=np.array(0))
    graph = chain_from(entry, neurons).at_phase(Phase.QUANTIZE)

    with pytest.raises(CapacityError) as error:
        MAPPINGS["spatial"](graph, TARGET)

    assert str(error.value) == "map at 'n': no layer feeds it"


def test_an_unknown_lowering_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="known: radix, spatial, temporal"):
        MAPPINGS["graded"]
