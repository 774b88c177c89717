"""unroll-windows keeps what the recurrent neurons compute, and leaves none of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.calibration import calibrate
from toolchain.errors import ConversionError, VerifyError
from toolchain.ir.ann import Conv, Dense, Input, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import counts_of, encode, evaluate, run
from toolchain.ir.snn import LmHt, MultiThreshold
from toolchain.ir.verify import verify_phase
from toolchain.passes.unroll_windows import unroll_windows
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import (
    after_phase,
    chain,
    chain_from,
    random_samples,
    random_windows,
)

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=1, method="mmse", lowering="temporal")


def unrolled(graph, x):
    return unroll_windows(graph, dataclasses.replace(CONTEXT, calibration=calibrate(graph, x)))


def decoded(entry, x):
    """Return the samples that the integers which enter the network stand for."""
    return np.clip(np.rint(x / entry.scale), entry.low, entry.high) * entry.scale


def check_counts(graph, after, x):
    """Compare every window of every neuron, and the outputs."""
    found, wanted = evaluate(after, x), evaluate(graph, decoded(after.input.encoding, x))
    for node in graph.of_type(LmHt):
        np.testing.assert_array_equal(
            found[node.name], np.rint(counts_of(wanted[node.name]) / node.threshold)
        )
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-9, atol=1e-9)


@settings(max_examples=100)
@given(st.randoms())
def test_every_window_counts_as_the_recurrent_neuron(random):
    graph = after_phase(random_windows(random), Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 4)

    check_counts(graph, unrolled(graph, x), x)


@settings(max_examples=100)
@given(st.randoms())
def test_potentials_on_a_threshold_count_alike(random):
    """With dyadic fractions nothing rounds, and many potentials are whole thresholds."""
    graph = after_phase(random_windows(random, is_whole=True), Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 4, is_whole=True)

    check_counts(graph, unrolled(graph, x), x)


@given(st.randoms())
def test_what_is_unrolled_is_a_converted_network(random):
    graph = after_phase(random_windows(random), Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 4)

    after = unrolled(graph, x).at_phase(Phase.CONVERT)

    verify_phase(after)
    assert [node.name for node in after] == [node.name for node in graph]
    for node in graph.of_type(LmHt):
        shape = graph.shapes[node.name]
        assert after.shapes[node.name] == (node.windows * shape[0], *shape[1:])


def neurons(name, windows=2, **others):
    mixing = np.full((windows, windows), 0.5)
    return LmHt(name=name, **{"levels": 3, "threshold": 1.0, "mixing": mixing, **others})


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float64)


def network(*, first=2, second=2):
    return chain(
        (2,),
        Dense(name="dense1", weight=numbers(3, 2), bias=numbers(3)),
        neurons("n1", first),
        Dense(name="dense2", weight=numbers(4, 3), bias=numbers(4)),
        neurons("n2", second),
        Dense(name="last", weight=numbers(2, 4), bias=numbers(2)),
    )


SAMPLES = np.array([[3, -2], [0, 5], [-4, 1]])


def test_weights_thresholds_and_memory_are_folded():
    """The equations of the pass, by hand."""
    mixing, weight = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0]])
    graph = chain_from(
        Input(name="x", shape=(1,), source_shape=(1,)),
        Dense(name="a", weight=weight, bias=np.array([0.5])),
        LmHt(name="n", levels=2, threshold=2.0, mixing=mixing, retention=0.5, initial=1.0),
        Dense(name="b", weight=weight, bias=np.array([0.5])),
        LmHt(name="m", levels=2, threshold=4.0, mixing=mixing, retention=0.5),
        Dense(name="c", weight=weight, bias=np.array([7.0])),
    )

    after = unrolled(graph, np.array([[1], [4]]))

    folded = np.array([[1.0, 2.0], [0.5, 0.0]])
    np.testing.assert_array_equal(after["a"].weight, 3 * folded.sum(1, keepdims=True) / 2)
    np.testing.assert_array_equal(after["a"].bias, 0.5 * folded.sum(1) / 2)
    np.testing.assert_array_equal(after["n"].initial, [0.25, 0.125])
    np.testing.assert_array_equal(after["n"].lateral[:, :, 0], [[0, 0], [0.5, 0]])
    np.testing.assert_array_equal(after["b"].weight, 3 * 2 * folded / 4)
    np.testing.assert_array_equal(after["c"].weight, [[3 * 4 / 2, 3 * 4 / 2]])
    np.testing.assert_array_equal(after["c"].bias, [0])
    np.testing.assert_array_equal(after["y"].offset, [7])


def test_windows_of_the_input_become_its_channels():
    entry = Input(
        name="x",
        shape=(2, 2, 3),
        source_shape=(2, 3, 2),
        order=np.arange(12).reshape(2, 3, 2).transpose(2, 0, 1),
        windows=2,
    )
    graph = chain_from(
        entry,
        Conv(name="conv", weight=numbers(4, 1, 2, 2), groups=2),
        neurons("n"),
        MaxPool(name="pool", kernel=(1, 2), stride=(1, 1)),
        Rearrange(name="flat", shape=(4,)),
        Dense(name="last", weight=numbers(2, 4)),
    )
    x = numbers(5, 2, 2, 3, 2)

    after = unrolled(graph, x)

    assert (after["x"].shape, after["x"].source_shape) == ((4, 2, 3), (2, 2, 3, 2))
    windows = np.moveaxis(x, -1, 2).reshape(5, 4, 2, 3)
    np.testing.assert_array_equal(encode(after["x"], x), windows)
    assert after["conv"].groups == 1
    check_counts(graph, after, x)


def test_a_bias_of_its_own_for_every_position_is_kept():
    graph = chain(
        (1, 3, 3),
        Conv(name="conv", weight=numbers(2, 1, 2, 2), bias=numbers(2, 2, 2)),
        neurons("n"),
        Conv(name="last", weight=numbers(2, 2, 2, 2), bias=numbers(2, 1, 1)),
    )
    x = numbers(5, 1, 3, 3)

    check_counts(graph, unrolled(graph, x), x)


def test_twice_is_once():
    after = unrolled(network(), SAMPLES)

    assert unroll_windows(after, CONTEXT) is after
    assert not after.of_type(LmHt)
    assert all(type(node) is MultiThreshold for node in (after["n1"], after["n2"]))


def test_a_network_of_rectifiers_is_left_alone():
    graph = chain((2,), Dense(name="a", weight=numbers(2, 2)), Relu(name="r"))

    assert unroll_windows(graph, CONTEXT) is graph


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2), (2, 1), (1, 2)])
def test_neighbours_with_other_windows_are_refused_by_name(first, second):
    with pytest.raises(ConversionError) as error:
        unrolled(network(first=first, second=second), SAMPLES)

    assert str(error.value) == (
        f"convert at 'n2': reads {first} windows and has {second}\n"
        "  hint: train all layers with the same number of windows"
    )


def test_an_input_with_other_windows_is_refused_by_name():
    graph = network()
    graph = graph.swap(dataclasses.replace(graph["x"], windows=3))

    with pytest.raises(ConversionError, match="reads 3 windows and has 2") as error:
        unrolled(graph, np.stack([SAMPLES] * 3, axis=1))

    assert error.value.node == "n1"


def test_without_samples_there_are_no_steps_of_the_input():
    with pytest.raises(ConversionError, match="there are no calibration samples"):
        unroll_windows(network(), CONTEXT)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"mixing": np.ones((2, 3))}, "mixing has shape (2, 3); it must be square"),
        ({"mixing": np.ones(4)}, "mixing has shape (4,); it must be square"),
        ({"mixing": np.ones((0, 0))}, "mixing has shape (0, 0); it must be square"),
        ({"retention": 1.25}, "retention is 1.25; it must be 0 to 1"),
        ({"retention": -0.5}, "retention is -0.5; it must be 0 to 1"),
        ({"retention": np.nan}, "retention is nan; it must be 0 to 1"),
        (
            {"mixing": np.array([[1.0, np.nan], [0.0, 1.0]])},
            "an entry of mixing, or the initial potential, is not finite",
        ),
        (
            {"initial": np.inf},
            "an entry of mixing, or the initial potential, is not finite",
        ),
        ({"levels": 0}, "levels is 0; it must be 1 or more"),
        ({"threshold": 0.0}, "threshold is 0.0; it must be above 0"),
    ],
)
def test_neurons_that_cannot_be_are_refused_by_name(wrong, problem):
    with pytest.raises(VerifyError) as error:
        neurons("n", **wrong)

    assert (error.value.node, error.value.problem) == ("n", problem)


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_rectifiers_among_trained_neurons_are_refused_by_name(name):
    graph = network()
    (layer,) = graph[name].inputs
    graph = graph.swap(Relu(name=name, inputs=(layer,), origin=(name,)))

    with pytest.raises(VerifyError) as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)

    assert str(error.value) == (
        f"verify at '{name}': is a rectifier in a network of trained spiking neurons\n"
        "  hint: train all activations as spiking neurons, or none"
    )


def test_the_last_layer_reads_the_mean_of_the_windows():
    graph = network()

    after = unrolled(graph, SAMPLES)

    np.testing.assert_allclose(run(after, SAMPLES), run(graph, SAMPLES), rtol=1e-12)
