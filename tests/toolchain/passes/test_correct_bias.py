"""correct-bias brings mean counts closer to mean activations, and never further away."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.calibration import Calibration, calibrate
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import spike_counts
from toolchain.ir.snn import MultiThreshold
from toolchain.passes.convert_to_spikes import convert_to_spikes
from toolchain.passes.correct_bias import correct_bias
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=3, method="maximum", lowering="temporal")


def numbers(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape)


def prepared():
    return chain(
        (1, 4, 4),
        Conv(name="conv", weight=numbers(3, 1, 2, 2), bias=numbers(3, 1, 1)),
        Relu(name="relu"),
        Conv(name="last", weight=numbers(2, 3, 1, 1)),
    ).at_phase(Phase.PREPARE)


def one_neuron():
    return chain(
        (1,),
        Dense(name="dense", weight=np.ones((1, 1)), bias=np.zeros(1)),
        Relu(name="relu"),
        Dense(name="last", weight=np.ones((1, 1))),
    ).at_phase(Phase.PREPARE)


SAMPLES = numbers(16, 1, 4, 4)


def calibrated(graph, x):
    return dataclasses.replace(CONTEXT, calibration=calibrate(graph, x))


def distances(graph, context, name):
    """Return how far mean counts of a population are from mean activations, ``(C,)``."""
    statistics = context.calibration.activations[name]
    wanted = statistics.mean / graph[name].unit.ravel()
    counts = spike_counts(graph, context.calibration.x)[name]
    return np.abs(wanted - counts.mean(axis=(0, *range(2, counts.ndim))))


@given(st.randoms())
def test_no_channel_of_any_layer_gets_worse(random):
    context = dataclasses.replace(CONTEXT, levels=random.randint(1, 8))
    graph = after_phase(random_network(random), Phase.PREPARE, context)
    try:
        found = calibrate(graph, random_samples(graph, random, 6))
    except ConversionError:
        assume(False)
    context = dataclasses.replace(context, calibration=found)
    converted = convert_to_spikes(graph, context)

    corrected = correct_bias(converted, context)

    for neurons in converted.of_type(MultiThreshold):
        layer = converted.producer(neurons)
        as_it_was = corrected.swap(layer)
        before = distances(as_it_was, context, neurons.name)
        after = distances(corrected, context, neurons.name)
        assert np.all(after <= before + 1e-9)


def test_a_loss_by_rounding_is_corrected():
    """Most activations lie below the only level and would count as nothing."""
    graph = one_neuron()
    x = np.linspace(0, 1, 200)[:, None] ** 3
    context = dataclasses.replace(calibrated(graph, x), levels=1)
    converted = convert_to_spikes(graph, context)

    corrected = correct_bias(converted, context)

    before = distances(converted, context, "relu")
    assert distances(corrected, context, "relu").sum() < 0.6 * before.sum()


def test_only_biases_in_front_of_neurons_change():
    context = calibrated(prepared(), SAMPLES)
    converted = convert_to_spikes(prepared(), context)

    corrected = correct_bias(converted, context)

    assert corrected["conv"].weight is converted["conv"].weight
    assert not np.array_equal(corrected["conv"].bias, converted["conv"].bias)
    for name in ("x", "relu", "last", "y"):
        assert corrected[name] is converted[name]


def test_a_step_that_overshoots_is_not_taken():
    """All samples lie on one level; another one would be wrong for all of them at once."""
    graph = one_neuron()
    x = np.full((4, 1), 3.0)
    context = calibrated(graph, x)
    statistics = context.calibration.activations["relu"]
    above = dataclasses.replace(statistics, mean=statistics.mean * 1.15)
    calibration = Calibration(x, {"relu": above})
    context = dataclasses.replace(context, calibration=calibration)
    converted = convert_to_spikes(graph, context)

    corrected = correct_bias(converted, context)

    np.testing.assert_array_equal(corrected["dense"].bias, converted["dense"].bias)


def test_biases_of_neurons_stay_biases_of_neurons():
    graph = prepared()
    bias = np.broadcast_to(graph["conv"].bias, (3, 3, 3)) + numbers(3, 3, 3)
    graph = graph.swap(dataclasses.replace(graph["conv"], bias=bias))
    context = calibrated(graph, SAMPLES)
    converted = convert_to_spikes(graph, context)

    moved = correct_bias(converted, context)["conv"].bias - converted["conv"].bias

    assert moved.shape == (3, 3, 3)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape))


@pytest.mark.parametrize("is_converted", [True, False])
def test_nothing_happens_without_neurons_or_samples(is_converted):
    context = calibrated(prepared(), SAMPLES)
    graph = convert_to_spikes(prepared(), context) if is_converted else prepared()
    context = CONTEXT if is_converted else context

    assert correct_bias(graph, context) is graph
