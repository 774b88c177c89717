"""compose-sum-pool makes one layer of a sum-pool and its neighbour, exactly or not at all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Affine, Conv, Dense, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.passes.compose_sum_pool import compose_sum_pool
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def pool(kernel, stride, padding=((0, 0), (0, 0))):
    return SumPool(name="pool", kernel=kernel, stride=stride, padding=padding)


def check(graph):
    """Compare a graph, which consists of whole numbers, with the composed one."""
    x = numbers(2, *graph.input.shape)

    after = compose_sum_pool(graph, CONTEXT)

    np.testing.assert_array_equal(run(after, x), run(graph, x))
    assert after.shapes["y"] == graph.shapes["y"]
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_network(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(compose_sum_pool(graph, CONTEXT), x), run(graph, x))


def reaches(size, first, outer):
    """Tell whether a window of the pool that ``outer`` padding stands for sees the input."""
    (before, _), kernel, stride = first.padding[0], first.kernel[0], first.stride[0]
    count = first.output_shape((2, size, 5))[1]
    stood_for = [*range(-outer[0], 0), *range(count, count + outer[1])]
    seen = {index * stride - before + tap for index in stood_for for tap in range(kernel)}
    return not seen.isdisjoint(range(size))


SIDES = [(0, 0), (1, 0), (0, 1), (2, 1)]


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_convolution_behind_is_composed_exactly_or_left(kernel, stride):
    """All geometries along one axis; the other one is plain."""
    for size, inner, outer, taps, step, spacing in itertools.product(
        (5, 6, 7), SIDES, SIDES, (1, 2, 3), (1, 2), (1, 2)
    ):
        node = Conv(
            name="conv",
            weight=numbers(2, 1, taps, 2),
            stride=(step, 1),
            padding=(outer, (0, 0)),
            dilation=(spacing, 1),
            groups=2,
        )
        first = pool((kernel, 2), (stride, 2), (inner, (0, 0)))
        pooled = first.output_shape((2, size, 5))
        if pooled[1] + sum(outer) < spacing * (taps - 1) + 1:
            continue

        after = check(chain((2, size, 5), first, node))

        assert ("pool" in after) == reaches(size, first, outer)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "composes"),
    [
        (8, 2, 2, (1, 1), True),
        (9, 3, 3, (2, 2), True),
        (9, 3, 2, (0, 0), True),
        (8, 2, 1, (0, 0), True),
        (9, 2, 2, (1, 1), False),
        (8, 3, 2, (1, 1), False),
        (8, 2, 1, (1, 0), False),
    ],
)
def test_the_usual_pools(size, kernel, stride, padding, composes):
    node = Conv(name="conv", weight=numbers(3, 2, 3, 3), padding=(padding, padding))

    after = check(chain((2, size, size), pool((kernel, kernel), (stride, stride)), node))

    assert ("pool" not in after) == composes


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 2)), ((2, 2), (1, 0))])
@pytest.mark.parametrize("size", [(5, 6), (7, 5)])
def test_every_dense_layer_behind_takes_its_pool(stride, padding, size):
    node = pool((3, 2), (stride, 2), padding)
    pooled = int(np.prod(node.output_shape((2, *size))))
    flat = Rearrange(name="flat", shape=(pooled,))

    after = check(chain((2, *size), node, flat, Dense(name="d", weight=numbers(4, pooled))))

    assert "pool" not in after
    assert after["d"].origin == ("pool", "d")
    assert after.shapes["flat"] == (2 * size[0] * size[1],)


@pytest.mark.parametrize("bias", [(), (4, 1, 1), (4, 6, 3)])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 2))])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_every_convolution_before_takes_its_pool(bias, padding, stride, dilation):
    node = Conv(
        name="conv",
        weight=numbers(4, 1, 2, 2),
        stride=(stride, 2),
        padding=padding,
        dilation=(dilation, 1),
        groups=2,
    )
    shape = node.output_shape((2, 8, 7))
    wide = numbers(4, *shape[1:]) if bias == (4, 6, 3) else numbers(*bias)
    node = Conv(**{**vars(node), "bias": wide})

    after = check(chain((2, 8, 7), node, pool((2, 2), (1, 2)), Relu(name="act")))

    assert "pool" not in after
    assert after["conv"].origin == ("conv", "pool")


def test_a_pool_without_a_layer_is_left_alone():
    graph = chain((3, 5, 5), pool((2, 2), (2, 1), ((1, 0), (0, 0))), Relu(name="act"))

    assert compose_sum_pool(graph, CONTEXT) is graph


def test_an_average_after_an_activation_is_prepared():
    graph = chain(
        (2, 6, 6),
        Conv(name="conv", weight=numbers(3, 2, 3, 3)),
        Relu(name="act"),
        pool((2, 2), (2, 2)),
        Affine(name="quarter", scale=np.array(0.25)),
        Rearrange(name="flat", shape=(12,)),
        Dense(name="last", weight=numbers(2, 12)),
    )
    x = numbers(2, 2, 6, 6)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert [node.name for node in prepared] == ["x", "conv", "act", "flat", "last", "y"]
    np.testing.assert_array_equal(run(prepared, x), run(graph, x))


def test_twice_is_once():
    node = Conv(name="conv", weight=numbers(3, 2, 3, 3))
    graph = compose_sum_pool(chain((2, 6, 6), pool((2, 2), (1, 1)), node), CONTEXT)

    assert compose_sum_pool(graph, CONTEXT) is graph


def test_a_layer_that_others_read_keeps_its_pool():
    node = Conv(name="conv", weight=numbers(3, 2, 3, 3))
    graph = chain((2, 6, 6), node, pool((2, 2), (2, 2)))
    graph = Graph("g", (*graph.nodes, Relu(name="other", inputs=("conv",))))

    after = compose_sum_pool(graph, CONTEXT)

    assert after["conv"] is graph["conv"]


def test_a_padded_pool_behind_a_layer_is_left_alone():
    node = Conv(name="conv", weight=numbers(3, 2, 3, 3), bias=np.ones(()))
    padded = pool((2, 2), (2, 2), ((1, 1), (0, 0)))
    graph = chain((2, 6, 6), node, padded, Relu(name="act"))

    assert compose_sum_pool(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    ("nodes", "populations"),
    [
        (
            (
                pool((3, 3), (2, 2)),
                Conv(name="last", weight=numbers(1, 2, 3, 3), padding=((1, 1), (1, 1))),
            ),
            ["act", "pool/signs"],
        ),
        (
            (
                Conv(name="conv", weight=numbers(2, 2, 1, 1)),
                pool((2, 2), (2, 2), ((1, 1), (1, 1))),
                Relu(name="act2"),
                Conv(name="last", weight=numbers(1, 2, 1, 1)),
            ),
            ["act", "conv/signs", "act2"],
        ),
    ],
    ids=["inexact", "padded"],
)
def test_what_cannot_be_composed_gets_neurons_of_its_own(nodes, populations):
    first = (Conv(name="first", weight=numbers(2, 2, 1, 1)), Relu(name="act"))
    graph = chain((2, 6, 6), *first, *nodes)
    x = numbers(2, 2, 6, 6)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert [node.name for node in prepared.of_type(Relu)] == populations
    np.testing.assert_array_equal(run(prepared, x), run(graph, x))
