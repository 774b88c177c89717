"""merge-windows keeps outputs and total counts, and merges nothing that is not alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, MaxPool, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import evaluate
from toolchain.ir.snn import LmHt, MultiThreshold
from toolchain.passes.merge_windows import merge_windows
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import (
    after_phase,
    chain,
    compile_network,
    random_samples,
    random_windows,
)

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=1, method="mmse", lowering="temporal")


@settings(max_examples=200)
@given(st.randoms())
def test_outputs_and_totals_are_kept(random):
    graph = random_windows(random, is_whole=True, is_even=True)
    graph = after_phase(graph, Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 4, is_whole=True)

    after = merge_windows(graph, CONTEXT)

    found, wanted = evaluate(after, x), evaluate(graph, x)
    for node in graph.of_type(LmHt):
        merged = after[node.name]
        assert (merged.windows, merged.levels) == (1, node.windows * node.levels)
        total = wanted[node.name].values.sum(axis=1)
        np.testing.assert_array_equal(found[node.name].values[:, 0], total)
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-12, atol=1e-12)


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float64)


def neurons(name, windows=2, **others):
    mixing = np.full((windows, windows), 0.5)
    return LmHt(
        name=name, **{"levels": 3, "threshold": 1.0, "initial": 0.5, "mixing": mixing, **others}
    )


def network(**others):
    return chain(
        (2,),
        Dense(name="dense1", weight=numbers(3, 2), bias=numbers(3)),
        neurons("n1"),
        Dense(name="dense2", weight=numbers(4, 3), bias=numbers(4)),
        neurons("n2", **others),
        Dense(name="last", weight=numbers(2, 4), bias=numbers(2)),
    )


SAMPLES = np.array([[3, -2], [0, 5], [-4, 1]])


def test_layers_take_what_the_theorem_says():
    graph = network()

    after = merge_windows(graph, CONTEXT)

    for name, weight, bias in (("dense1", 2, 2), ("dense2", 1, 2), ("last", 0.5, 1)):
        np.testing.assert_array_equal(after[name].weight, weight * graph[name].weight)
        np.testing.assert_array_equal(after[name].bias, bias * graph[name].bias)
    np.testing.assert_array_equal(after["n1"].mixing, [[1.0]])
    assert after["n1"].initial == 0.5


def test_twice_is_once():
    after = merge_windows(network(), CONTEXT)

    assert merge_windows(after, CONTEXT) is after


@pytest.mark.parametrize(
    "others",
    [
        {"mixing": np.array([[0.5, 0.5], [0.5, 0.25]])},
        {"retention": 0.75},
        {"initial": 1.0},
        {"initial": -0.25},
        {"windows": 3},
    ],
    ids=["mixing", "retention", "full start", "negative start", "windows"],
)
def test_one_layer_that_differs_keeps_the_windows_of_all(others):
    graph = network(**others)

    assert merge_windows(graph, CONTEXT) is graph


def test_samples_of_several_windows_keep_theirs():
    graph = network()
    graph = graph.swap(dataclasses.replace(graph.input, windows=2))

    assert merge_windows(graph, CONTEXT) is graph


def test_a_pool_keeps_the_windows_before_it():
    """Two neurons that take turns: 1 spike each, and 2 in the larger counts of windows."""
    graph = chain(
        (1, 1, 2),
        Conv(name="conv", weight=np.ones((1, 1, 1, 1))),
        neurons("n", levels=1, initial=0.25),
        MaxPool(name="pool", kernel=(1, 2), stride=(1, 2)),
        Conv(name="last", weight=np.ones((1, 1, 1, 1))),
    )
    x = np.array([[[[0.8125, 0.5]]]])

    values = evaluate(graph, x)

    np.testing.assert_array_equal(values["n"].values[0, :, 0, 0], [[1, 0], [0, 1]])
    assert values["pool"].values.sum() == 2
    assert merge_windows(graph, CONTEXT) is graph


def test_a_network_of_rectifiers_is_left_alone():
    graph = chain((2,), Dense(name="a", weight=numbers(2, 2)), Relu(name="r"))

    assert merge_windows(graph, CONTEXT) is graph


def test_what_is_merged_is_converted_to_neurons_of_one_window():
    stages = compile_network(network(), SAMPLES, TARGET, levels=1, lowering="temporal")

    populations = stages.converted.of_type(MultiThreshold)
    assert [(node.levels, node.windows) for node in populations] == [(6, 1), (6, 1)]
    np.testing.assert_allclose(
        evaluate(stages.converted, SAMPLES)["y"], evaluate(network(), SAMPLES)["y"], rtol=1e-12
    )


def test_merged_neurons_can_be_lowered_in_space():
    stages = compile_network(network(), SAMPLES, TARGET, levels=1, lowering="spatial")

    assert stages.circuit.windows["n1"].copies == 6


def test_different_windows_are_left_for_unrolling_to_refuse():
    with pytest.raises(ConversionError) as error:
        compile_network(network(windows=3), SAMPLES, TARGET, levels=1, lowering="temporal")

    assert error.value.node == "n2"
