"""compose-skip merges layers that only scale or subtract values into what reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Conv, Dense, Rearrange, Relu, SumPool
from toolchain.ir.reference import run
from toolchain.passes.compose_skip import compose_skip, is_skip
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
SCALE = Conv(name="skip", weight=np.array([2.0, -3, 0, 1]).reshape(4, 1, 1, 1), groups=4)
DIFFERENCE = Conv(
    name="skip", weight=np.array([[1.0, -1.0], [2.0, -2.0]]).reshape(2, 2, 1, 1), groups=2
)
POOL = SumPool(name="pool", kernel=(2, 2), stride=(1, 2), padding=((1, 0), (0, 0)))


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def check(graph):
    x = numbers(2, *graph.input.shape)

    after = compose_skip(graph, CONTEXT)

    np.testing.assert_array_equal(run(after, x), run(graph, x))
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(compose_skip(graph, CONTEXT), x), run(graph, x))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("skip", [SCALE, DIFFERENCE], ids=["scale", "difference"])
def test_a_convolution_takes_it_in(skip, groups):
    channels = len(skip.weight)
    layer = Conv(
        name="conv",
        weight=numbers(4, channels // groups, 2, 3),
        bias=numbers(4, 1, 1),
        padding=((1, 1), (0, 2)),
        groups=groups,
    )

    after = check(chain((4, 4, 5), skip, layer))

    assert [node.name for node in after] == ["x", "conv", "y"]
    assert after["conv"].origin == ("skip", "conv")


@pytest.mark.parametrize("skip", [SCALE, DIFFERENCE], ids=["scale", "difference"])
def test_a_dense_layer_takes_it_in_past_a_flattening(skip):
    size = 6 * len(skip.weight)
    flat = Rearrange(name="flat", shape=(size,))

    after = check(chain((4, 2, 3), skip, flat, Dense(name="fc", weight=numbers(3, size))))

    assert [node.name for node in after] == ["x", "flat", "fc", "y"]
    assert after.shapes["flat"] == (24,)


def test_a_dense_layer_takes_in_a_dense_one_of_single_values():
    skip = Dense(name="skip", weight=np.kron(np.eye(3), [[1.0, -1.0]]))

    after = check(chain((6,), skip, Dense(name="fc", weight=numbers(4, 3), bias=numbers(4))))

    assert [node.name for node in after] == ["x", "fc", "y"]


def test_a_pool_that_sums_changes_places_with_it():
    after = check(chain((4, 4, 5), SCALE, POOL, Relu(name="act")))

    assert [node.name for node in after] == ["x", "pool", "skip", "act", "y"]


def test_twice_is_once():
    graph = compose_skip(chain((4, 4, 5), SCALE, POOL, Relu(name="act")), CONTEXT)

    assert compose_skip(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "node",
    [
        Conv(name="skip", weight=numbers(4, 4, 1, 1)),
        Conv(name="skip", weight=np.ones((4, 1, 1, 2)), groups=4),
        Conv(name="skip", weight=np.ones((4, 1, 1, 1)), groups=4, stride=(2, 1)),
        Conv(name="skip", weight=np.ones((4, 1, 1, 1)), groups=4, bias=np.ones(())),
        Conv(name="skip", weight=np.ones((8, 1, 1, 1)), groups=4),
    ],
    ids=["mixes", "window", "stride", "shift", "copies"],
)
def test_a_layer_that_does_more_is_left_alone(node):
    last = Conv(name="last", weight=numbers(1, len(node.weight), 1, 1))
    graph = chain((4, 4, 4), node, last)

    assert compose_skip(graph, CONTEXT)["last"].weight.shape == last.weight.shape
    assert (compose_skip(graph, CONTEXT) is graph) == (not is_skip(node))


@pytest.mark.parametrize("reader", [Relu(name="act"), Rearrange(name="flat", shape=(64,))])
def test_what_no_layer_reads_is_left_alone(reader):
    graph = chain((4, 4, 4), SCALE, reader)

    assert compose_skip(graph, CONTEXT) is graph
