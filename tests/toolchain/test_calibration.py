"""Calibration collects what the analogue network does on the user's samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain import calibration
from toolchain.calibration import activation_batches, calibrate
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import evaluate
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


def network():
    numbers = np.random.default_rng(0)
    return chain(
        (2, 6, 6),
        Conv(name="conv", weight=numbers.normal(size=(3, 2, 2, 2)).astype(np.float32)),
        Relu(name="relu"),
        Conv(name="last", weight=np.ones((1, 3, 5, 5), np.float32)),
    ).at_phase(Phase.PREPARE)


def samples(count=10):
    return np.random.default_rng(1).normal(size=(count, 2, 6, 6)).astype(np.float32)


def per_channel(values):
    """Return ``(C, everything else)``."""
    return values.reshape(*values.shape[:2], -1).transpose(1, 0, 2).reshape(values.shape[1], -1)


@given(st.randoms())
def test_statistics_are_those_of_the_reference(random):
    graph = after_phase(random_network(random), Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 5)
    values = evaluate(graph, x)
    assume(all(values[relu.name].max() > 1e-3 for relu in graph.of_type(Relu)))

    found = calibrate(graph, x)

    assert found.x is x
    for relu in graph.of_type(Relu):
        wanted = per_channel(values[relu.name])
        statistics = found.activations[relu.name]
        tolerance = {"rtol": 1e-4, "atol": 1e-5 * wanted.max()}
        np.testing.assert_allclose(statistics.maximum, wanted.max(axis=1), **tolerance)
        np.testing.assert_allclose(statistics.mean, wanted.mean(axis=1), **tolerance)
        np.testing.assert_allclose(statistics.values, wanted, **tolerance)


def test_batches_make_no_difference(monkeypatch):
    whole = calibrate(network(), samples()).activations["relu"]
    monkeypatch.setattr(calibration, "_BATCH_BYTES", 3 * 4 * 3 * 25)

    batches = list(activation_batches(network(), samples(), ["relu"]))
    found = calibrate(network(), samples()).activations["relu"]

    assert [len(values) for (values,) in batches] == [3, 3, 3, 1]
    np.testing.assert_allclose(found.maximum, whole.maximum, rtol=1e-6)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-6)


def test_many_values_are_thinned_at_the_same_positions_of_all_channels(monkeypatch):
    monkeypatch.setattr(calibration, "_VALUES_PER_CHANNEL", 40)
    activations = per_channel(evaluate(network(), samples())["relu"]).astype(np.float32)

    found = calibrate(network(), samples()).activations["relu"]

    assert found.values.shape == (3, 40)
    columns = {tuple(np.round(column, 4)) for column in activations.T}
    assert all(tuple(np.round(column, 4)) in columns for column in found.values.T)
    np.testing.assert_allclose(found.maximum, activations.max(axis=1), rtol=1e-5)


def test_of_many_channels_fewer_values_are_chosen(monkeypatch):
    monkeypatch.setattr(calibration, "_VALUES_PER_CHANNEL", 200)
    monkeypatch.setattr(calibration, "_VALUES_LEAST", 10)
    monkeypatch.setattr(calibration, "_VALUES_BYTES", 3 * 100 * 4)

    found = calibrate(network(), samples()).activations["relu"]

    assert found.values.shape == (3, 100)


def test_values_are_not_kept_once_thresholds_have_been_chosen():
    found = calibrate(network(), samples())

    left = found.without_values().activations["relu"]

    assert left.values.size == 0
    assert left.values.base is None
    np.testing.assert_array_equal(left.mean, found.activations["relu"].mean)
    np.testing.assert_array_equal(left.maximum, found.activations["relu"].maximum)


def test_the_same_samples_give_the_same_statistics(monkeypatch):
    monkeypatch.setattr(calibration, "_VALUES_PER_CHANNEL", 40)

    first, second = (calibrate(network(), samples()).activations["relu"] for _ in range(2))

    np.testing.assert_array_equal(first.values, second.values)


def test_pixels_of_eight_bits_are_numbers():
    pixels = np.random.default_rng(2).integers(0, 256, (4, 2, 6, 6)).astype(np.uint8)

    found = calibrate(network(), pixels).activations["relu"]

    wanted = per_channel(evaluate(network(), pixels)["relu"]).max(axis=1)
    np.testing.assert_allclose(found.maximum, wanted, rtol=1e-5)


def test_a_network_without_activations_needs_none():
    graph = chain((2,), Dense(name="dense", weight=np.ones((2, 2))))

    assert not calibrate(graph, np.zeros((1, 2))).activations


def test_a_dead_layer_is_refused_by_name():
    graph = chain(
        (2,),
        Dense(name="dense", weight=-np.ones((3, 2), np.float32)),
        Relu(name="relu", origin=("onnx/relu",)),
        Dense(name="last", weight=np.ones((2, 3), np.float32)),
    )

    with pytest.raises(ConversionError) as error:
        calibrate(graph, np.ones((5, 2)))

    assert str(error.value) == (
        "convert at 'onnx/relu': the layer is dead: no activation is above 0 on 5 calibration "
        "samples\n  hint: calibrate on real samples, in the units that the model expects"
    )


def test_a_layer_with_one_live_channel_is_alive():
    graph = chain(
        (2,),
        Dense(name="dense", weight=np.array([[1, 1], [-1, -1]], np.float32)),
        Relu(name="relu"),
        Dense(name="last", weight=np.ones((2, 2), np.float32)),
    )

    found = calibrate(graph, np.ones((5, 2))).activations["relu"]

    assert found.maximum.tolist() == [2, 0]
