"""Spikes and synaptic operations summed up by the twin are what the step engine counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from targets.twin.activity import census_of
from targets.twin.counting import CountingNetwork
from targets.twin.layout import lay_out
from targets.twin.measuring import measuring_of
from toolchain.engine import ENGINES, Program
from toolchain.errors import ConversionError
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import (
    compile_network,
    extreme_inputs,
    random_branches,
    random_network,
    random_samples,
    random_windows,
)


def compiled(random, lowering):
    network = random.choice((random_network, random_windows, random_branches))(random)
    x = random_samples(network, random, 4)
    levels = random.choice((1, 4, 15, 31))
    try:
        stages = compile_network(
            network, x, TARGETS["loihi2"], levels=levels, lowering=lowering
        )
    except ConversionError:
        assume(False)
    assume(all(node.bound == "proved" for node in stages.quantized.of_type(Spiking)))
    return stages


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_all_that_is_counted_is_what_the_step_engine_counts(lowering, random):
    stages = compiled(random, lowering)
    inputs = extreme_inputs(stages.quantized, random, 4)
    program = Program(stages.quantized, stages.circuit)
    network = CountingNetwork(lay_out(program.graph), threads=1)

    measured = measuring_of(network, program.circuit)(inputs)
    stepped = ENGINES["step"].run(program, inputs, trace=False)

    np.testing.assert_array_equal(measured.readout, stepped.readout)
    np.testing.assert_array_equal(measured.spikes_total, stepped.spikes_total)
    np.testing.assert_array_equal(measured.synaptic_operations, stepped.synaptic_operations)
    np.testing.assert_array_equal(measured.graded_operations, stepped.graded_operations)
    assert list(measured.activity) == list(stepped.activity)
    for name, sent in stepped.activity.items():
        found = measured.activity[name]
        np.testing.assert_array_equal(found.spikes, sent.spikes)
        np.testing.assert_array_equal(found.synaptic_operations, sent.synaptic_operations)
    for node in program.graph.of_type(Spiking):
        counts = stepped.counts[node.name].reshape(len(inputs), node.windows, -1).sum(axis=2)
        repeats = stepped.activity[node.name].spikes.sum() // max(1, counts.sum())
        np.testing.assert_array_equal(stepped.activity[node.name].spikes, repeats * counts)
        event(f"{min(node.windows, 2)} windows, {repeats} senders")


def test_a_population_that_the_graph_has_not_is_not_guessed(random_stages):
    circuit = random_stages.circuit
    alien = dataclasses.replace(circuit.populations[0], name="alien")
    circuit = dataclasses.replace(circuit, populations=(*circuit.populations, alien))

    network = CountingNetwork(lay_out(random_stages.quantized), threads=1)

    assert measuring_of(network, circuit) is None


def test_the_count_engine_measures(random_stages):
    program = Program(random_stages.quantized, random_stages.circuit)
    inputs = np.zeros((3, *program.graph.input.shape), np.int64)

    measured = ENGINES["count"].measure(program, inputs, trace=False)

    stepped = ENGINES["step"].run(program, inputs, trace=False)
    np.testing.assert_array_equal(measured.synaptic_operations, stepped.synaptic_operations)


@pytest.mark.parametrize(("neurons", "levels"), [(10, 1), (70_000, 255), (10**6, 15)])
def test_sums_fit_32_bits_at_the_highest_counts(neurons, levels):
    fan = np.arange(neurons) % 5000

    census = census_of("n", fan, levels, windows=1)

    matrix = census.matrix.astype(np.int64)
    sums = levels * matrix.sum(axis=0)
    assert sums.max() < 2**31
    assert 2 * levels * matrix.max() < 2**15
    spikes, operations = census.read(sums[None])
    assert (spikes.item(), operations.item()) == (levels * neurons, levels * fan.sum())


@pytest.fixture
def random_stages():
    from random import Random

    random = Random(1)
    network = random_network(random)
    x = random_samples(network, random, 4)
    return compile_network(network, x, TARGETS["loihi2"], levels=7, lowering="temporal")
