"""copy-sums gives every population its own sum, as long as copies are few."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Add, Dense, Input, Output, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.reference import run
from toolchain.ir.snn import LmHt
from toolchain.passes.copy_sums import copy_sums
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


def shared(terms, neurons=Relu):
    """Return the graph of a sum of layers that two activations read, which are added."""
    entry = Input(name="x", shape=(2,), source_shape=(2,))
    layers = [
        Dense(name=f"w{i}", inputs=("x",), weight=np.full((2, 2), i + 1.0), origin=(f"w{i}",))
        for i in range(terms)
    ]
    total = Add(name="sum", inputs=tuple(layer.name for layer in layers), origin=("sum",))
    made = {"levels": 2, "threshold": 1.0, "mixing": np.eye(1)} if neurons is LmHt else {}
    one = neurons(name="one", inputs=("sum",), origin=("one",), **made)
    two = dataclasses.replace(one, name="two", origin=("two",))
    joint = Add(name="joint", inputs=("one", "two"), origin=("joint",))
    last = Output(name="y", inputs=("joint",), shape=(2,), tensor="y")
    nodes = (entry, *layers, total, one, two, joint, last)
    return Graph("shared", nodes, tuple(node.name for node in nodes[1:-1]))


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(copy_sums(graph, CONTEXT), x), run(graph, x))


@pytest.mark.parametrize("terms", [1, 3])
def test_every_reader_has_a_sum_of_its_own(terms):
    graph = shared(terms)
    x = np.array([[1.0, -3.0], [2.0, 5.0]])

    after = copy_sums(graph, CONTEXT)

    assert after["one"].inputs == ("sum",)
    assert after["two"].inputs == ("sum/copy",)
    assert after["sum/copy"].inputs == tuple(f"w{i}/copy" for i in range(terms))
    assert after["sum/copy"].origin == ("sum",)
    np.testing.assert_array_equal(run(after, x), run(graph, x))


def test_a_layer_without_a_sum_is_copied_alike():
    graph = chain((2,), Dense(name="w", weight=np.ones((2, 2))), Relu(name="one"))
    two = dataclasses.replace(graph["one"], name="two")
    joint = Add(name="joint", inputs=("one", "two"))
    graph = graph.insert_behind("one", two, joint).redirect("one", ["y"], "joint")

    after = copy_sums(graph, CONTEXT)

    assert (after["one"].inputs, after["two"].inputs) == (("w",), ("w/copy",))


def test_twice_is_once():
    graph = copy_sums(shared(2), CONTEXT)

    assert copy_sums(graph, CONTEXT) is graph


def test_a_sum_of_many_layers_is_left_to_be_split():
    graph = shared(4)

    assert copy_sums(graph, CONTEXT) is graph


def test_sums_of_trained_neurons_are_copied_however_many_layers_they_have():
    after = copy_sums(shared(6, LmHt), CONTEXT)

    assert len(after["sum/copy"].inputs) == 6


def test_a_sum_that_a_layer_reads_is_left_alone():
    layer = Dense(name="two", inputs=("sum",), weight=np.eye(2), origin=("two",))
    graph = shared(2).swap(layer)

    assert copy_sums(graph, CONTEXT) is graph
