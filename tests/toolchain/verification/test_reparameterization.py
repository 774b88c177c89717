"""The published reparameterization counts alike under its conditions, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Dense
from toolchain.ir.reference import Windows, compute
from toolchain.ir.snn import LmHt
from toolchain.testing import chain, random_samples, random_windows
from toolchain.verification.reparameterization import uniform_residue, uniform_windows

seeds = st.integers(0, 2**31)


def neurons(random, *, levels, windows, mixing=None, retention=0.75, initial=0.0):
    if mixing is None:
        mixing = random.normal(1 / windows, 0.5, (windows, windows))
    return LmHt(
        name="n",
        levels=levels,
        threshold=0.7,
        mixing=mixing,
        retention=retention,
        initial=initial,
    )


def literal(node, x):
    """Return what theorem A.2 says, with all steps and the matrix over them written out."""
    batch, windows, *shape = x.shape
    levels = node.levels
    spread = np.kron(node.mixing, np.ones((levels, levels))) / levels
    own = np.repeat(x / levels, levels, axis=1)
    current = np.einsum("jk,bk...->bj...", spread, own)
    v = np.full((batch, *shape), node.initial)
    spikes = []
    for step in range(levels * windows):
        v = (node.retention if step % levels == 0 else 1.0) * v + current[:, step]
        spikes.append(v >= node.threshold)
        v = v - node.threshold * spikes[-1]
    return np.stack(spikes, axis=1).reshape(batch, windows, levels, *shape).sum(axis=2)


@given(seeds, st.integers(1, 16), st.integers(1, 6))
def test_it_is_what_the_paper_writes(seed, levels, windows):
    random = np.random.default_rng(seed)
    node = neurons(random, levels=levels, windows=windows, initial=0.35)
    x = random.normal(size=(20, windows, 3))

    found = uniform_windows(node, Windows(x))

    np.testing.assert_array_equal(np.rint(found.values / node.threshold), literal(node, x))


@given(seeds, st.integers(1, 16), st.integers(1, 6), st.sampled_from([0.5, 0.8, 1.0]))
def test_it_is_exact_where_no_current_is_negative(seed, levels, windows, retention):
    """Saturation included."""
    random = np.random.default_rng(seed)
    mixing = random.uniform(0, 1, (windows, windows))
    node = neurons(random, levels=levels, windows=windows, mixing=mixing, retention=retention)
    x = Windows(random.uniform(0, 6, (20, windows, 3)))

    np.testing.assert_array_equal(uniform_windows(node, x).values, compute(node, x).values)


@given(seeds, st.integers(1, 16), st.integers(1, 6))
def test_it_is_exact_where_mixing_is_even_and_nothing_leaks(seed, levels, windows):
    """Currents of either sign, from the start of half a threshold."""
    random = np.random.default_rng(seed)
    mixing = np.full((windows, windows), 1 / windows)
    node = neurons(
        random, levels=levels, windows=windows, mixing=mixing, retention=1.0, initial=0.35
    )
    x = Windows(random.normal(0, 3, (20, windows, 3)))

    np.testing.assert_array_equal(uniform_windows(node, x).values, compute(node, x).values)


@given(seeds, st.integers(1, 16))
def test_the_first_window_is_exact(seed, levels):
    random = np.random.default_rng(seed)
    node = neurons(random, levels=levels, windows=3, initial=0.35)
    x = Windows(random.normal(0, 3, (20, 3, 3)))

    found, wanted = uniform_windows(node, x).values, compute(node, x).values

    np.testing.assert_array_equal(found[:, 0], wanted[:, 0])


def separate(levels, first, second):
    """Return a network of one neuron with two windows of these currents, and its sample."""
    graph = chain(
        (1,),
        Dense(name="d", weight=np.ones((1, 1))),
        LmHt(name="n", levels=levels, threshold=1.0, mixing=np.eye(2)),
        Dense(name="last", weight=np.array([[1.0], [-1.0]]), bias=np.array([0.0, 1.5])),
    )
    graph = graph.swap(dataclasses.replace(graph.input, windows=2))
    return graph, np.array([[[first], [second]]])


@pytest.mark.parametrize(
    ("first", "second", "exact", "spread"),
    [(-2.0, 4.0, 2, 1), (4.0, -1.5, 0, 1)],
    ids=["excited late", "inhibited late"],
)
def test_it_counts_otherwise_where_signs_change(first, second, exact, spread):
    """Four more in two steps lift -2 to the threshold once; 2 is inhibited too late."""
    graph, x = separate(2, first, second)
    node, current = graph["n"], Windows(x)

    assert compute(node, current).values[0, 1, 0] == exact
    assert uniform_windows(node, current).values[0, 1, 0] == spread
    (layer,) = uniform_residue(graph, x).layers
    assert (layer.name, layer.counts) == ("n", 2)
    assert layer.isolated == layer.cumulative == 0.5


def test_an_answer_that_changes_is_counted():
    """Outputs are n and 1.5 - n for the mean n: 1 and 0.5 as it should be, 0.5 and 1 spread."""
    graph, x = separate(2, -2.0, 4.0)

    assert uniform_residue(graph, x).answers == 1.0
    assert uniform_residue(graph, np.concatenate([x, -x, 0 * x, 0 * x])).answers == 0.25


def test_errors_of_a_layer_reach_the_next():
    graph, x = separate(2, -2.0, 4.0)
    second = LmHt(name="m", levels=2, threshold=1.0, mixing=np.eye(2))
    graph = chain(
        (1,),
        graph["d"],
        graph["n"],
        Dense(name="e", weight=np.ones((1, 1))),
        second,
        graph["last"],
    )
    graph = graph.swap(dataclasses.replace(graph.input, windows=2))

    first, second = uniform_residue(graph, x).layers

    assert first.cumulative == 0.5
    assert (second.isolated, second.cumulative) == (0.0, 0.5)


@given(st.randoms())
def test_the_first_layer_has_nothing_before_it(random):
    graph = random_windows(random)
    x = random_samples(graph, random, 4)

    residue = uniform_residue(graph, x)

    assert [layer.name for layer in residue.layers] == [n.name for n in graph.of_type(LmHt)]
    assert residue.layers[0].isolated == residue.layers[0].cumulative
    assert all(0 <= layer.isolated <= 1 >= layer.cumulative >= 0 for layer in residue.layers)
