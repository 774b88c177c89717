"""split-copies gives readers their own copies of what costs nothing, and of nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Add, Affine, Conv, Rearrange, Relu
from toolchain.ir.reference import run
from toolchain.passes.split_copies import split_copies
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
SHAPE = (2, 3, 3)
SKIP = Conv(name="shared", weight=np.array([2.0, -1.0]).reshape(2, 1, 1, 1), groups=2)


def read_by_two(node):
    """Return a graph in which two rectifiers, which are added, read ``node``."""
    graph = chain(SHAPE, node, Relu(name="one"))
    two = dataclasses.replace(graph["one"], name="two")
    total = Add(name="total", inputs=("one", "two"))
    return graph.insert_behind("one", two, total).redirect("one", ["y"], "total")


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random)
    x = random_samples(graph, random, 2)

    np.testing.assert_array_equal(run(split_copies(graph, CONTEXT), x), run(graph, x))


@pytest.mark.parametrize(
    "node",
    [
        Affine(name="shared", scale=np.array(2.0)),
        Rearrange(name="shared", shape=SHAPE, order=np.arange(18)[::-1]),
        SKIP,
    ],
    ids=["scale", "order", "skip"],
)
def test_every_reader_gets_a_copy_for_the_same_node_of_the_model(node):
    after = split_copies(read_by_two(node), CONTEXT)

    assert after["one"].inputs == ("shared",)
    assert after["two"].inputs == ("shared/copy",)
    assert after["shared/copy"].origin == after["shared"].origin == ("shared",)


def test_twice_is_once():
    graph = split_copies(read_by_two(SKIP), CONTEXT)

    assert split_copies(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "node",
    [
        Conv(name="shared", weight=np.ones((2, 2, 1, 1))),
        dataclasses.replace(SKIP, bias=np.ones((2, 1, 1))),
        Relu(name="shared"),
    ],
    ids=["layer", "skip with a shift", "activation"],
)
def test_what_costs_neurons_or_synapses_is_left_alone(node):
    graph = read_by_two(node)

    assert split_copies(graph, CONTEXT) is graph
