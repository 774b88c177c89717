"""simplify-staircases brings quantizers to the layers before them, and keeps the function."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Affine, Conv, MaxPool, Rearrange, Relu
from toolchain.ir.reference import run
from toolchain.ir.staircase import Staircase
from toolchain.passes.simplify_staircases import simplify_staircases
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
SHAPE = (2, 4, 4)
X = np.random.default_rng(0).integers(-40, 41, (20, *SHAPE)) / 4
POOL = MaxPool(name="pool", kernel=(2, 2), stride=(2, 1), padding=((1, 0), (0, 1)))
CONV = Conv(name="conv", weight=np.eye(2)[:, :, None, None])
PER_CHANNEL = np.array([0.5, 2.0]).reshape(2, 1, 1)


def stairs(name="stairs", low=-3.0, high=6.0, **fields):
    return Staircase(name=name, low=low, high=high, **fields)


def scaled(scale=1.0, shift=0.0, name="scale"):
    return Affine(name=name, scale=np.asarray(scale), shift=np.asarray(shift))


def settled(graph):
    """Return the graph when nothing is left to simplify."""
    while (after := simplify_staircases(graph, CONTEXT)) is not graph:
        graph = after
    return graph


def draw(random):
    """Return a random chain of what quantized models have between two layers."""
    nodes = []
    for place in range(random.randint(2, 5)):
        kind = random.choice(("stairs", "scale", "relu", "pool"))
        name = f"{kind}{place}"
        if kind == "stairs":
            low = random.choice((-math.inf, -4.0, 0.0))
            nodes.append(stairs(name, low, 5.0, rounds_down=random.random() < 0.3))
        elif kind == "scale":
            scale = random.choice((1.0, 1.0, 0.5, 2.0, -1.0))
            nodes.append(scaled(scale, random.choice((0.0, 3.0, -2.0, 0.25)), name))
        elif kind == "relu":
            nodes.append(Relu(name=name, maximum=random.choice((math.inf, 3.0, 2.5))))
        else:
            nodes.append(MaxPool(name=name, kernel=(2, 2), stride=(1, 1)))
    return chain((2, 8, 8), CONV, *nodes)


@given(st.randoms())
def test_the_function_is_kept_to_the_bit(random):
    graph = draw(random)
    x = np.random.default_rng(random.getrandbits(32)).integers(-40, 41, (6, 2, 8, 8)) / 4

    np.testing.assert_array_equal(run(settled(graph), x), run(graph, x))


@given(st.randoms())
def test_twice_is_once(random):
    graph = settled(draw(random))

    assert simplify_staircases(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "between",
    [(POOL,), (POOL, scaled(PER_CHANNEL, -PER_CHANNEL)), (scaled(0.5), POOL)],
    ids=["alone", "with a scale", "behind a scale"],
)
def test_a_staircase_comes_before_a_pool(between):
    graph = settled(chain(SHAPE, CONV, *between, stairs()))

    assert [node.kind for node in graph if node.kind != "Affine"] == [
        *("Input", "Conv", "Staircase", "MaxPool", "Output")
    ]


def test_a_scale_that_turns_the_order_round_is_not_passed():
    graph = chain(SHAPE, CONV, POOL, scaled(-1.0), stairs())

    assert simplify_staircases(graph, CONTEXT) is graph


def test_the_value_to_compare_with_is_in_the_order_before_a_rearrangement():
    order = np.random.default_rng(1).permutation(32)
    turn = Rearrange(name="turn", shape=SHAPE, order=order)
    graph = settled(chain(SHAPE, turn, stairs(tensor="value")))

    values = X[0].ravel()[order]
    np.testing.assert_array_equal(values[graph["stairs"].tensor_order], X[0].ravel())
    assert graph["stairs"].tensor == "value"


@pytest.mark.parametrize(
    ("nodes", "limits"),
    [
        ((Relu(name="r"), stairs()), (0, 6)),
        ((Relu(name="r", maximum=4.4), stairs()), (0, 4)),
        ((Relu(name="r", maximum=4.4), scaled(2.0, -2.0), stairs()), (-2, 6)),
        ((stairs(), Relu(name="r", maximum=4.0)), (0, 4)),
        ((stairs(), scaled(0.5, 1.0), Relu(name="r", maximum=2.0)), (-2, 2)),
        ((stairs(), stairs("second", -1.0, 9.0)), (-1, 6)),
        ((stairs(), scaled(1.0, 2.0), stairs("second", 0.0, 5.0)), (-2, 3)),
    ],
)
def test_limits_are_merged(nodes, limits):
    graph = settled(chain(SHAPE, CONV, *nodes))

    (merged,) = graph.of_type(Staircase)
    assert (merged.low, merged.high) == limits
    assert not graph.of_type(Relu)
    np.testing.assert_array_equal(run(graph, X), run(chain(SHAPE, CONV, *nodes), X))


@pytest.mark.parametrize(
    "nodes",
    [
        (stairs(), scaled(0.5), stairs("second")),
        (stairs(), scaled(1.0, 0.5), stairs("second")),
        (stairs(), scaled(1.0, 0.5), Relu(name="relu")),
        (Relu(name="relu"), scaled(PER_CHANNEL), stairs()),
        (Relu(name="relu"), scaled(1.0, 7.0), stairs()),
    ],
    ids=["other steps", "between steps", "limit between steps", "per channel", "no step left"],
)
def test_what_is_no_limit_in_whole_steps_is_left(nodes):
    graph = chain(SHAPE, CONV, *nodes)

    assert simplify_staircases(graph, CONTEXT) is graph


def test_what_something_else_reads_is_left():
    graph = chain(SHAPE, CONV, Relu(name="relu"), stairs())
    side = Affine(name="side", inputs=("relu",))
    graph = graph.with_nodes([*graph.nodes[:-1], side, graph.nodes[-1]])

    assert simplify_staircases(graph, CONTEXT) is graph
