"""keep-integers makes quantized layers the integers they were, with the same counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.ir.ann import Affine, Dense, Relu
from toolchain.ir.counts import sweep
from toolchain.ir.reference import run
from toolchain.ir.snn import Spiking
from toolchain.ir.staircase import Staircase
from toolchain.passes.keep_integers import keep_integers
from toolchain.target import TARGETS
from toolchain.testing import chain, compile_network

TARGET = TARGETS["loihi2"]
RANDOM = np.random.default_rng(0)
FIRST, LAST = RANDOM.integers(-9, 10, (6, 8)), RANDOM.integers(-9, 10, (3, 6))
FIRST[:, :2], LAST[:, :2] = [[9, 8]], [[9, 7]]
X = RANDOM.integers(0, 16, (60, 8)).astype(float)


def quantized_model(scale, *, high=15, weight=FIRST):
    """Return a model with weights ``weight / 16`` whose activations have steps of ``scale``."""
    return chain(
        (8,),
        Staircase(name="entry", low=0, high=15),
        Dense(name="first", weight=weight / 16, bias=np.arange(6) / 16),
        Affine(name="steps", scale=np.array(1 / scale)),
        Staircase(name="stairs", low=0, high=high),
        Affine(name="values", scale=np.array(scale)),
        Dense(name="last", weight=LAST * 0.3, bias=np.ones(3)),
    )


def stages(scale, lowering="temporal", **options):
    graph = quantized_model(scale, **options)
    return compile_network(graph, X, TARGET, levels=3, lowering=lowering)


def counted(graph):
    return {
        node.name: counts for node, _, counts in sweep(graph, X) if isinstance(node, Spiking)
    }


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
def test_integers_and_counts_stay_where_thresholds_are_whole(lowering):
    found = stages(0.5, lowering)

    graph = found.quantized
    np.testing.assert_array_equal(graph["first"].weight, FIRST)
    np.testing.assert_array_equal(graph["last"].weight, LAST)
    np.testing.assert_array_equal(graph["stairs"].threshold, np.full(6, 8))
    assert (graph["stairs"].level_error, graph["stairs"].bound) == (0, "proved")
    assert np.array_equal(counted(graph)["stairs"], counted(found.lowered)["stairs"])
    np.testing.assert_allclose(run(graph, X), run(found.lowered, X), rtol=1e-12)


def test_thresholds_that_are_not_whole_get_finer_integers_in_the_radix_lowering():
    found = stages(6.0318, "radix", high=200)

    weight, neurons = found.quantized["first"].weight, found.quantized["stairs"]
    shift = weight[0, 0] // FIRST[0, 0]
    np.testing.assert_array_equal(weight, FIRST * shift)
    assert shift >= 16
    assert 0 < neurons.level_error < 0.1
    np.testing.assert_allclose(neurons.threshold, 6.0318 * 16 * shift, atol=0.5)
    off = np.abs(counted(found.quantized)["stairs"] - counted(found.lowered)["stairs"])
    assert off.max() <= 1


def test_thresholds_fine_enough_to_part_all_whole_sums_are_exact():
    found = stages(0.531, "radix", high=200)

    assert found.quantized["stairs"].level_error == 0
    assert np.array_equal(counted(found.quantized)["stairs"], counted(found.lowered)["stairs"])


def test_a_factor_that_makes_thresholds_whole_is_found():
    found = stages(0.53125)

    np.testing.assert_array_equal(found.quantized["first"].weight, 2 * FIRST)
    np.testing.assert_array_equal(found.quantized["stairs"].threshold, np.full(6, 17))
    assert found.quantized["stairs"].level_error == 0


def test_levels_that_would_move_too_far_are_rounded_like_others():
    found = stages(0.531 / 16, high=200)

    assert found.quantized["stairs"].level_error == np.inf
    assert found.quantized["first"].weight.dtype.kind == "i"


def test_weights_that_are_no_multiples_are_left():
    found = stages(0.5, weight=RANDOM.normal(size=(6, 8)))

    assert keep_integers(found.lowered, found.context)["first"] is found.lowered["first"]


def test_sums_that_no_register_holds_are_left():
    found = stages(0.5)
    narrow = dataclasses.replace(
        TARGET, state_bits=dataclasses.replace(TARGET.state_bits, value=14)
    )
    context = dataclasses.replace(found.context, target=narrow, calibration=None)

    assert keep_integers(found.lowered, context) is found.lowered


def test_rectifiers_with_whole_weights_are_exact_too_and_stay_so():
    graph = chain(
        (8,),
        Dense(name="first", weight=FIRST / 16),
        Relu(name="relu"),
        Dense(name="last", weight=LAST * 0.3),
    )

    found = compile_network(graph, X, TARGET, levels=4, lowering="spatial")

    assert found.quantized["relu"].level_error == 0
    assert np.array_equal(counted(found.quantized)["relu"], counted(found.lowered)["relu"])


def test_twice_is_once():
    found = stages(0.5)
    kept = keep_integers(found.lowered, found.context)

    assert keep_integers(kept, found.context) is kept


def test_channels_that_registers_are_too_narrow_for_take_coarser_integers_than_others():
    gains = np.array([57.31, 0.2173])
    graph = chain(
        (2,),
        Staircase(name="entry", low=0, high=255),
        Dense(name="first", weight=np.diag(gains)),
        Staircase(name="stairs", low=0, high=255),
        Dense(name="last", weight=np.ones((1, 2))),
    )
    x = np.arange(512.0).reshape(256, 2)

    found = compile_network(graph, x, TARGET, levels=3, lowering="radix")

    neurons = found.quantized["stairs"]
    assert 0 < neurons.level_error < 0.5
    weight = found.quantized["first"].weight
    np.testing.assert_allclose(weight[0, 0] / neurons.threshold[0], gains[0], rtol=0.01)
    np.testing.assert_allclose(weight[1, 1] / neurons.threshold[1], gains[1], rtol=1e-3)


@pytest.mark.parametrize("bias", [-3.0, 0.2, 7.2, 90.0])
def test_a_channel_that_hardly_reads_anything_sends_its_constant(bias):
    graph = chain(
        (2,),
        Staircase(name="entry", low=0, high=255),
        Dense(
            name="first", weight=np.array([[1e-8, 2e-8], [0.5, 0.25]]), bias=np.array([bias, 0])
        ),
        Staircase(name="stairs", low=0, high=15),
        Dense(name="last", weight=np.ones((1, 2))),
    )
    x = np.arange(512.0).reshape(256, 2)

    found = compile_network(graph, x, TARGET, levels=3, lowering="temporal")

    assert found.quantized["stairs"].level_error == 0
    assert not found.quantized["first"].weight[0].any()
    counts = [
        value
        for stage in (found.lowered, found.quantized)
        for node, _, value in sweep(stage, x)
        if isinstance(node, Spiking)
    ]
    np.testing.assert_array_equal(counts[0], counts[1])
    assert (counts[0][:, 0] == np.clip(np.rint(bias), 0, 15)).all()
