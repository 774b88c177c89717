"""activate-before-pool puts rectifiers before max-pools, where neurons can spike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.passes.activate_before_pool import activate_before_pool
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
CONV = Conv(name="conv", weight=np.random.default_rng(0).normal(size=(3, 1, 2, 2)))
POOL = MaxPool(name="pool", kernel=(2, 2), stride=(1, 2), padding=((1, 0), (0, 1)))


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_network(random)
    x = random_samples(graph, random, 2)

    np.testing.assert_array_equal(run(activate_before_pool(graph, CONTEXT), x), run(graph, x))


def test_the_two_change_places():
    graph = activate_before_pool(chain((1, 5, 5), CONV, POOL, Relu(name="relu")), CONTEXT)

    assert [(node.name, *node.inputs) for node in graph] == [
        ("x",),
        ("conv", "x"),
        ("relu", "conv"),
        ("pool", "relu"),
        ("y", "pool"),
    ]


def test_pools_in_a_row_are_passed_one_after_the_other():
    second = MaxPool(name="second", kernel=(2, 1), stride=(1, 1))
    flat = Rearrange(name="flat", shape=(18,))
    last = Dense(name="last", weight=np.ones((1, 18)))
    graph = chain((1, 5, 5), CONV, POOL, second, Relu(name="relu"), flat, last)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert [node.name for node in prepared][1:5] == ["conv", "relu", "pool", "second"]


def test_twice_is_once():
    graph = activate_before_pool(chain((1, 5, 5), CONV, POOL, Relu(name="relu")), CONTEXT)

    assert activate_before_pool(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "nodes",
    [
        (CONV, Relu(name="relu"), POOL),
        (CONV, POOL),
        (CONV, POOL, Rearrange(name="r", shape=(24,))),
    ],
)
def test_a_pool_that_no_rectifier_reads_is_left_alone(nodes):
    graph = chain((1, 5, 5), *nodes)

    assert activate_before_pool(graph, CONTEXT) is graph


def test_a_pool_that_others_read_is_left_alone():
    graph = chain((1, 5, 5), CONV, POOL, Relu(name="relu"))
    graph = Graph("g", (*graph.nodes, Relu(name="other", inputs=("pool",))))

    assert activate_before_pool(graph, CONTEXT) is graph


def test_a_pool_without_rectifier_is_refused_by_name():
    pool = MaxPool(name="pool", kernel=(1, 17), stride=(1, 1), padding=((0, 0), (8, 8)))
    graph = chain(
        (1, 9, 9), CONV, Relu(name="relu"), Conv(name="c", weight=np.ones((1, 3, 1, 1))), pool
    )

    with pytest.raises(VerifyError) as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)

    assert error.value.node == "pool"
