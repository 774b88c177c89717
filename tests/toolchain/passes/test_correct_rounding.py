"""correct-rounding brings mean counts of integers closer to the analogue ones, if they fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Relu
from toolchain.ir.reference import spike_counts
from toolchain.ir.snn import Spiking
from toolchain.passes.correct_rounding import correct_rounding
from toolchain.passes.quantize_parameters import quantize_parameters
from toolchain.registers import demand_of, excess_of
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain, compile_network, random_network, random_samples

TARGET = TARGETS["loihi2"]
LOWERINGS = ["temporal", "spatial"]


def distances(graph, context, name):
    """Return how far mean counts of a population are from mean activations, ``(C,)``."""
    statistics = context.calibration.activations[name]
    wanted = statistics.mean / graph[name].unit.ravel()
    counts = spike_counts(graph, context.calibration.x)[name]
    return np.abs(wanted - counts.mean(axis=(0, *range(2, counts.ndim))))


def rounded(random, lowering):
    """Draw a network, rounded and not yet corrected, and the context of its passes."""
    network = random_network(random)
    x = random_samples(network, random, 6)
    levels = random.randint(1, 31)
    try:
        stages = compile_network(network, x, TARGET, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)
    return quantize_parameters(stages.lowered, stages.context), stages.context


def few_levels(lowering):
    """Few weights of little resolution: what rounding changes does not average out."""
    numbers = np.random.default_rng(0)
    graph = chain(
        (3,),
        Dense(name="first", weight=numbers.normal(size=(20, 3)).astype(np.float32)),
        Relu(name="relu1"),
        Dense(name="second", weight=numbers.normal(size=(10, 20)).astype(np.float32)),
        Relu(name="relu2"),
        Dense(name="last", weight=np.ones((1, 10), np.float32)),
    )
    x = numbers.normal(size=(64, 3)).astype(np.float32)
    narrow = dataclasses.replace(
        TARGET, weight_bits=dataclasses.replace(TARGET.weight_bits, value=4)
    )
    stages = compile_network(graph, x, narrow, levels=31, lowering=lowering)
    return quantize_parameters(stages.lowered, stages.context), stages.context


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_no_channel_of_any_layer_gets_worse(lowering, random):
    graph, context = rounded(random, lowering)

    corrected = correct_rounding(graph, context)

    for neurons in graph.of_type(Spiking):
        as_it_was = corrected.swap(graph.producer(neurons))
        before = distances(as_it_was, context, neurons.name)
        assert np.all(distances(corrected, context, neurons.name) <= before + 1e-9)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_coarse_weights_are_made_up_for(lowering):
    graph, context = few_levels(lowering)

    corrected = correct_rounding(graph, context)

    before = distances(graph, context, "relu1").sum()
    assert distances(corrected, context, "relu1").sum() < 0.7 * before


def fits(graph, *, own_thresholds):
    return {
        neurons.name: not excess_of(
            demand_of(neurons, graph.producer(neurons)),
            neurons,
            TARGET,
            own_thresholds=own_thresholds,
        ).any()
        for neurons in graph.of_type(Spiking)
    }


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=100)
@given(st.randoms())
def test_registers_that_held_a_population_still_hold_it(lowering, random):
    graph, context = rounded(random, lowering)

    corrected = correct_rounding(graph, context)

    for own_thresholds in (False, True):
        before = fits(graph, own_thresholds=own_thresholds)
        after = fits(corrected, own_thresholds=own_thresholds)
        assert {name for name in before if before[name]} <= {
            name for name in after if after[name]
        }


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_only_biases_in_front_of_neurons_change(lowering, random):
    graph, context = rounded(random, lowering)

    corrected = correct_rounding(graph, context)

    in_front = {graph.producer(neurons).name for neurons in graph.of_type(Spiking)}
    for node in graph:
        if node.name not in in_front:
            assert corrected[node.name] is node
        if isinstance(node, (Conv, Dense)):
            assert corrected[node.name].weight is node.weight
            assert corrected[node.name].bias.dtype == np.int64
            assert corrected[node.name].bias.shape == node.bias.shape


def test_nothing_happens_without_samples():
    graph, context = few_levels("temporal")
    context = dataclasses.replace(context, calibration=None)

    assert correct_rounding(graph, context) is graph


def test_nothing_happens_without_neurons():
    graph, context = few_levels("temporal")
    bare = chain((3,), Dense(name="last", weight=np.ones((1, 3))))

    assert isinstance(context, Context)
    assert correct_rounding(bare, context) is bare
    assert correct_rounding(graph, context) is not graph
