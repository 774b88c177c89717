"""flatten-sums makes one sum of sums, in which every term is another node."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Add, Affine, Dense, Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.reference import run
from toolchain.passes.flatten_sums import flatten_sums
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
X = np.array([[1.0, -2.0], [3.0, 5.0]])


def summed(*sums):
    """Return the graph of layers ``a``, ``b``, ``c`` and sums of them; the last is read."""
    layers = [
        Dense(name=name, inputs=("x",), weight=np.eye(2) * factor, origin=(name,))
        for name, factor in (("a", 1.0), ("b", 2.0), ("c", 4.0))
    ]
    adds = [Add(name=name, inputs=inputs, origin=(name,)) for name, inputs in sums]
    entry = Input(name="x", shape=(2,), source_shape=(2,))
    last = Output(name="y", inputs=(sums[-1][0],), shape=(2,), tensor="y")
    nodes = (entry, *layers, *adds, last)
    return Graph("sums", nodes, tuple(node.name for node in nodes[1:-1]))


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(flatten_sums(graph, CONTEXT), x), run(graph, x))


def test_a_sum_that_a_sum_reads_becomes_its_terms_in_their_place():
    graph = summed(("inner", ("a", "b")), ("outer", ("inner", "c")))

    after = flatten_sums(graph, CONTEXT)

    assert after["outer"].inputs == ("a", "b", "c")
    assert after["outer"].origin == ("inner", "outer")
    assert "inner" not in after
    np.testing.assert_array_equal(run(after, X), run(graph, X))


def test_a_term_that_is_added_twice_is_scaled():
    graph = summed(("total", ("a", "b", "a", "a", "c")))

    after = flatten_sums(graph, CONTEXT)

    assert after["total"].inputs == ("total/a", "b", "c")
    assert after["total/a"].scale == 3
    np.testing.assert_array_equal(run(after, X), run(graph, X))


def test_a_sum_of_nothing_but_one_term_is_a_scale():
    graph = summed(("total", ("a", "a", "b")), ("twice", ("total", "total")))

    after = flatten_sums(graph, CONTEXT)

    assert isinstance(after["twice"], Affine)
    assert after["twice"].scale == 2
    np.testing.assert_array_equal(run(after, X), run(graph, X))


def test_twice_is_once():
    graph = flatten_sums(summed(("inner", ("a", "b")), ("outer", ("inner", "c"))), CONTEXT)

    assert flatten_sums(graph, CONTEXT) is graph


def test_a_sum_that_others_read_too_is_left_alone():
    graph = summed(("inner", ("a", "b")), ("other", ("inner", "a")), ("outer", ("inner", "c")))
    graph = graph.swap(Add(name="outer", inputs=("other", "c"), origin=("outer",)))
    graph = graph.swap(Dense(name="c", inputs=("x",), weight=np.eye(2), origin=("c",)))
    both = Add(name="both", inputs=("inner", "outer"))
    graph = graph.insert_behind("outer", both).redirect("outer", ["y"], "both")

    after = flatten_sums(graph, CONTEXT)

    assert after["inner"].inputs == ("a", "b")
    np.testing.assert_array_equal(run(after, X), run(graph, X))
