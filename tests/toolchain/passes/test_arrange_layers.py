"""arrange-layers says with layers what no other pass could fold, at the same places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Add, Affine, Conv, Dense, Rearrange, Relu, SumPool
from toolchain.ir.graph import Phase
from toolchain.ir.reference import run
from toolchain.ir.verify import phase_problems
from toolchain.passes.arrange_layers import arrange_layers
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
POOL = SumPool(name="node", kernel=(2, 3), stride=(1, 2), padding=((1, 0), (0, 2)))


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def check(graph):
    x = numbers(2, *graph.input.shape)

    after = arrange_layers(graph, CONTEXT)

    np.testing.assert_array_equal(run(after, x), run(graph, x))
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(arrange_layers(graph, CONTEXT), x), run(graph, x))


@pytest.mark.parametrize(
    ("shape", "node", "kind"),
    [
        ((3, 4, 5), POOL, Conv),
        ((3, 4, 5), Affine(name="node", scale=numbers(3, 1, 1), shift=numbers(3, 4, 5)), Conv),
        ((3, 4, 5), Affine(name="node", scale=np.array(-2.0)), Conv),
        ((6,), Affine(name="node", scale=numbers(6), shift=np.ones(())), Dense),
    ],
    ids=["pool", "scale of channels", "scale", "flat"],
)
def test_what_is_left_becomes_a_layer_of_the_same_name(shape, node, kind):
    after = check(chain(shape, node))

    assert isinstance(after["node"], kind)
    assert after["node"].origin == ("node",)


@pytest.mark.parametrize("shape", [(3, 4, 5), (6,)])
def test_an_activation_that_no_layer_feeds_gets_one(shape):
    after = check(chain(shape, Relu(name="act")))

    skip = after[after["act"].inputs[0]]
    assert isinstance(skip, Conv if len(shape) == 3 else Dense)
    assert np.count_nonzero(skip.weight) == shape[0]


def test_every_term_of_a_sum_becomes_a_layer():
    graph = chain((4,), Dense(name="fc", weight=numbers(4, 4)), Relu(name="act"))
    total = Add(name="sum", inputs=("act", "x"))
    graph = graph.insert_behind("act", total).redirect("act", ["y"], "sum")

    after = check(graph)

    assert [after[name].inputs for name in after["sum"].inputs] == [("act",), ("x",)]
    assert all(isinstance(after[name], Dense) for name in after["sum"].inputs)
    assert not list(phase_problems(after.at_phase(Phase.PREPARE)))


def test_an_input_that_the_chip_rearranges_is_sent_by_a_layer():
    order = np.arange(8).repeat(2)
    graph = chain((8,), Rearrange(name="r", shape=(16,), order=order), Relu(name="act"))

    after = check(graph)

    assert isinstance(after[after["r"].inputs[0]], Dense)


def test_scales_come_first():
    graph = chain((3, 4, 5), POOL, Affine(name="half", scale=np.array(0.5)), Relu(name="act"))

    after = check(graph)

    assert after["node"] is graph["node"]
    assert isinstance(after["half"], Conv)


def test_twice_is_once():
    graph = arrange_layers(chain((3, 4, 5), POOL), CONTEXT)

    assert arrange_layers(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "nodes",
    [
        (
            Conv(name="c", weight=numbers(2, 3, 1, 1)),
            Relu(name="act"),
            Conv(name="last", weight=numbers(1, 2, 1, 1)),
        ),
        (Affine(name="odd", scale=numbers(3, 4, 5)),),
    ],
    ids=["layers", "scale of positions"],
)
def test_layers_and_scales_of_positions_are_left_alone(nodes):
    graph = chain((3, 4, 5), *nodes)

    assert arrange_layers(graph, CONTEXT) is graph


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 2, 2)])
def test_an_input_of_other_axes_is_seen_as_a_plane_where_a_layer_reads_it(shape):
    size = int(np.prod(shape))
    turn = Rearrange(name="turn", shape=(size, 1, 1), order=np.arange(size)[::-1])

    after = check(chain(shape, turn, Relu(name="relu")))

    assert len(after.input.shape) == 3
    assert isinstance(after.producer(after["turn"]), Conv)
