"""Bounds hold at every moment, for every order in which spikes may arrive."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.bounds import Observer, input_range, proved_sums, summed
from toolchain.errors import CompileError
from toolchain.ir.ann import Conv, Dense, Encoding, Input, MaxPool, Output, Rearrange
from toolchain.ir.counts import count, sweep
from toolchain.ir.snn import MultiThreshold, Spiking
from toolchain.target import TARGETS
from toolchain.testing import chain_from, compile_network, random_branches, random_samples

weights = arrays(np.int64, (3, 5), elements=st.integers(-127, 127))
ranges = st.tuples(st.integers(-9, 0), st.integers(1, 9))


def arrivals(weight, counts, random):
    """Return all partial sums ``(arrivals, out)`` of single spikes in a random order."""
    order = random.permutation(np.repeat(np.arange(len(counts)), np.abs(counts)))
    return np.cumsum((weight[:, order] * np.sign(counts)[order]).T, axis=0)


@given(weights, ranges, st.integers(0, 2**32 - 1))
def test_proved_sums_hold_in_any_order(weight, limits, seed):
    random = np.random.default_rng(seed)
    low, high = proved_sums(Dense(name="d", weight=weight), *limits)

    for _ in range(5):
        partial = arrivals(weight, random.integers(limits[0], limits[1] + 1, 5), random)
        assert np.all(partial >= -low)
        assert np.all(partial <= high)


@given(weights, ranges)
def test_proved_sums_are_reached(weight, limits):
    low, high = proved_sums(Dense(name="d", weight=weight), *limits)

    extremes = np.array(limits)[np.array(np.meshgrid(*[[0, 1]] * 5)).reshape(5, -1).T]
    np.testing.assert_array_equal((extremes @ weight.T).max(axis=0), high)
    np.testing.assert_array_equal((extremes @ weight.T).min(axis=0), -low)


def test_a_convolution_is_bounded_by_its_kernels():
    weight = np.array([[[[1, -2]], [[3, 0]]], [[[-1, -1]], [[0, 2]]]])

    low, high = proved_sums(Conv(name="c", weight=weight), 0, 10)

    np.testing.assert_array_equal(low, [20, 20])
    np.testing.assert_array_equal(high, [40, 20])


def network(weight):
    entry = Input(
        name="x", shape=(1, 4, 4), source_shape=(1, 4, 4), encoding=Encoding(1.0, -7, 7)
    )
    return chain_from(
        entry,
        Conv(name="conv", weight=weight, padding=((1, 0), (0, 1))),
        MultiThreshold(name="act", levels=6, initial=np.array(0.5), threshold=np.array(3.0)),
        MaxPool(name="pool", kernel=(2, 2), stride=(2, 2)),
        Rearrange(name="flat", shape=(8,)),
        Dense(name="last", weight=np.random.default_rng(1).integers(-4, 5, (2, 8))),
    )


def test_the_range_of_inputs_is_that_of_what_sends_them():
    graph = network(np.ones((2, 1, 2, 2)))

    assert input_range(graph, graph["conv"]) == (-7, 7)
    assert input_range(graph, graph["last"]) == (0, 6)


def test_what_was_not_encoded_has_no_range():
    graph = network(np.ones((2, 1, 2, 2)))
    graph = graph.swap(dataclasses.replace(graph["x"], encoding=None))

    with pytest.raises(TypeError, match="conv reads no integers"):
        input_range(graph, graph["conv"])


def observed(graph, x):
    """Return what each layer's population is seen to receive, each having one layer."""
    observer = Observer(graph, x)
    return {
        layer.name: observer.sums(node, {})
        for node in graph
        if isinstance(node, (Spiking, Output))
        for layer in graph.layers_into(node)
    }


def seen_at_once(graph, x):
    """Return the largest sums of each layer, each computed from the whole graph's signals."""
    found = {}
    for layer, inputs, _ in sweep(graph, x):
        if isinstance(layer, (Conv, Dense)):
            (signed,) = (value.astype(float) for value in inputs)
            raised, lowered = np.maximum(signed, 0), np.maximum(-signed, 0)
            down = peak(layer, raised, -1) + peak(layer, lowered, 1)
            found[layer.name] = down, peak(layer, raised, 1) + peak(layer, lowered, -1)
    return found


def peak(layer, inputs, sign):
    weight = np.maximum(sign * layer.weight, 0)
    sums = count(dataclasses.replace(layer, weight=weight, bias=np.zeros(())), inputs)
    return sums.max(axis=(0, *range(2, sums.ndim)))


@given(st.integers(0, 2**32 - 1))
def test_observed_sums_hold_on_their_samples_in_any_order(seed):
    random = np.random.default_rng(seed)
    graph = network(random.integers(-5, 6, (2, 1, 2, 2)))
    x = random.integers(-7, 8, (3, 1, 4, 4))

    low, high = observed(graph, x)["conv"]

    weight = graph["conv"].weight.reshape(2, 4)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 1)))
    for sample, i, j in np.ndindex(3, 4, 4):
        patch = padded[sample, 0, i : i + 2, j : j + 2].ravel()
        partial = arrivals(weight, patch, random)
        assert np.all(partial >= -low)
        assert np.all(partial <= high)


@given(st.integers(0, 2**32 - 1))
def test_observed_sums_are_never_beyond_proved_ones(seed):
    random = np.random.default_rng(seed)
    graph = network(random.integers(-5, 6, (2, 1, 2, 2)))
    x = random.integers(-7, 8, (3, 1, 4, 4))

    for name, seen in observed(graph, x).items():
        proved = proved_sums(graph[name], *input_range(graph, graph[name]))
        assert np.all(np.array(seen) <= np.array(proved))


def test_silence_has_no_sums():
    sums = observed(network(np.ones((2, 1, 2, 2))), np.zeros((2, 1, 4, 4)))

    assert not np.array(sums["conv"]).any()
    assert not np.array(sums["last"]).any()


@settings(max_examples=30)
@given(st.randoms())
def test_what_is_observed_one_by_one_is_what_is_observed_at_once(random):
    network = random_branches(random)
    x = random_samples(network, random, 3)
    try:
        stages = compile_network(network, x, TARGETS["loihi2"], levels=5, lowering="temporal")
    except CompileError:
        assume(False)
    graph = stages.quantized

    sums, observer = seen_at_once(graph, x), Observer(stages.lowered, x)

    # Layers in float units, behind integers: the same counts arrive, weights differ.
    integers = {node.name: node for node in graph}
    whole = Observer(graph, x)
    for neurons in graph.of_type(Spiking):
        wanted = summed([sums[layer.name] for layer in graph.layers_into(neurons)])
        np.testing.assert_allclose(whole.sums(neurons, {}), wanted, rtol=1e-6)
        behind = observer.sums(stages.lowered[neurons.name], integers)
        floats = {
            layer.name: stages.lowered[layer.name] for layer in graph.layers_into(neurons)
        }
        mixed = graph.swap(*floats.values())
        expected = seen_at_once(mixed, x)
        wanted = summed([expected[name] for name in floats])
        np.testing.assert_allclose(behind, wanted, rtol=1e-5, atol=1e-5)
