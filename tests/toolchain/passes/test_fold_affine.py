"""fold-affine puts scales and shifts into layers, wherever they are and whatever is padded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import Affine, Conv, Dense, MaxPool, Output, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.passes.fold_affine import fold_affine
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
SHAPE = (4, 5, 6)
PER_CHANNEL = (4, 1, 1)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def scales(*shape, seed=0, signs=(-1.0, 1.0)):
    random = np.random.default_rng(seed)
    return random.choice((0.5, 1.0, 2.0), shape) * random.choice(signs, shape)


def affine(scale=(), shift=(), **kwargs):
    return Affine(name="affine", scale=scales(*scale, **kwargs), shift=numbers(*shift))


def conv(**fields):
    given = {
        "name": "conv",
        "weight": numbers(6, 2, 3, 2),
        "bias": numbers(6, 1, 1),
        "groups": 2,
    }
    return Conv(**{**given, **fields})


def check(graph, fold=lambda graph: fold_affine(graph, CONTEXT)):
    """Compare a graph, which consists of whole numbers, with the folded one."""
    x = numbers(2, *graph.input.shape, seed=7)

    after = fold(graph)

    np.testing.assert_array_equal(run(after, x), run(graph, x))
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_network(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(fold_affine(graph, CONTEXT), x), run(graph, x))


OUT = (6, 3, 5)
BACKWARD = [
    ((), ()),
    ((6, 1, 1), (6, 1, 1)),
    ((6, 1, 1), OUT),
    ((), (1, 1, 5)),
    ((), (3, 1)),
    ((1, 1, 1), (6, 1, 5)),
]


@pytest.mark.parametrize(("scale", "shift"), BACKWARD)
def test_a_convolution_before_takes_it(scale, shift):
    after = check(chain(SHAPE, conv(), affine(scale, shift), Relu(name="act")))

    assert "affine" not in after
    assert after["conv"].origin == ("conv", "affine")


@pytest.mark.parametrize(("scale", "shift"), BACKWARD)
def test_the_bias_is_of_channels_or_of_neurons(scale, shift):
    """Whatever comes later may count on the shapes that `Conv` lists."""
    after = check(chain(SHAPE, conv(), affine(scale, shift), Relu(name="act")))

    assert np.shape(after["conv"].bias) in {(6, 1, 1), OUT}


@pytest.mark.parametrize(("scale", "shift"), [((), ()), ((5,), (5,)), ((1,), (5,))])
def test_a_dense_layer_before_takes_it(scale, shift):
    layer = Dense(name="dense", weight=numbers(5, 3), bias=numbers(5))

    after = check(chain((3,), layer, affine(scale, shift), Relu(name="act")))

    assert "affine" not in after


@pytest.mark.parametrize("shift", [(), PER_CHANNEL, SHAPE, (1, 5, 1)])
@pytest.mark.parametrize("scale", [(), PER_CHANNEL, (1, 1, 1)])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 1)), ((2, 2), (1, 0))])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 3))])
def test_a_convolution_behind_takes_it_with_its_padding(
    shift, scale, padding, stride, dilation
):
    layer = conv(padding=padding, stride=stride, dilation=dilation)

    after = check(chain(SHAPE, affine(scale, shift), layer))

    assert "affine" not in after
    assert after["conv"].origin == ("affine", "conv")


def test_a_shift_behind_padding_depends_on_the_position():
    layer = conv(padding=((1, 1), (1, 1)))
    shift = Affine(name="affine", shift=np.ones(()))

    after = check(chain(SHAPE, shift, layer))

    assert after["conv"].bias.shape == after.shapes["conv"]


def test_a_shift_without_padding_is_one_number_a_channel():
    after = check(chain(SHAPE, Affine(name="affine", shift=np.ones(())), conv()))

    assert after["conv"].bias.shape == (6, 1, 1)


@pytest.mark.parametrize(("scale", "shift"), [((), ()), ((5,), (5,)), ((5,), ())])
def test_a_dense_layer_behind_takes_it(scale, shift):
    layer = Dense(name="dense", weight=numbers(3, 5), bias=numbers(3))

    after = check(chain((5,), affine(scale, shift), layer))

    assert "affine" not in after


@pytest.mark.parametrize(("scale", "shift"), [((), ()), (SHAPE, PER_CHANNEL), ((), SHAPE)])
def test_the_host_takes_it_at_the_end(scale, shift):
    after = check(chain(SHAPE, affine(scale, shift)))

    assert [node.name for node in after] == ["x", "y"]


def test_the_host_applies_it_before_its_own():
    graph = chain((3,), affine((3,), (3,)))
    own = Output(
        name="y", inputs=("affine",), shape=(3,), scale=np.array([2, 3, 4]), offset=numbers(3)
    )

    check(graph.swap(own))


def test_two_in_a_row_are_one():
    second = Affine(name="second", scale=scales(*SHAPE, seed=1), shift=numbers(5, 6))

    after = check(chain(SHAPE, affine(PER_CHANNEL, SHAPE), second, Relu(name="act")))

    assert after["affine"].origin == ("affine", "second")


POOL = {"kernel": (2, 3), "stride": (2, 1), "padding": ((1, 0), (0, 2))}


@pytest.mark.parametrize("shift", [(), PER_CHANNEL])
@pytest.mark.parametrize("scale", [(), PER_CHANNEL])
def test_what_does_not_turn_around_passes_a_max_pool(scale, shift):
    node = affine(scale, shift, signs=(1.0,))

    after = check(chain(SHAPE, node, MaxPool(name="pool", **POOL), Relu(name="act")))

    assert [node.name for node in after][1:3] == ["pool", "affine"]


LINEAR = "pools what is no activation, and only spikes can be pooled"


@pytest.mark.parametrize(
    ("node", "refused", "problem"),
    [
        (Affine(name="affine", scale=np.array(-1.0)), "pool", LINEAR),
        (
            Affine(name="affine", scale=np.array([1.0, 1, 0, 1]).reshape(PER_CHANNEL)),
            "pool",
            LINEAR,
        ),
        (
            Affine(name="affine", scale=scales(*SHAPE, signs=(1.0,))),
            "affine",
            "Affine is left after prepare",
        ),
        (Affine(name="affine", shift=numbers(*SHAPE)), "pool", LINEAR),
    ],
    ids=["negative", "zero", "scale of positions", "shift of positions"],
)
def test_what_a_max_pool_cannot_pass_is_left_and_refused_by_name(node, refused, problem):
    first = Conv(name="first", weight=numbers(4, 4, 1, 1))
    last = Conv(name="last", weight=numbers(1, 4, 1, 1))
    pool = MaxPool(name="pool", kernel=(1, 17), stride=(1, 1), padding=((0, 0), (8, 8)))
    graph = chain(SHAPE, first, Relu(name="act"), node, pool, last)

    assert fold_affine(graph, CONTEXT) is graph
    with pytest.raises(VerifyError) as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)

    assert error.value.node == refused
    assert error.value.problem.startswith(problem)


def test_a_negative_scale_before_a_max_pool_goes_backward():
    after = check(
        chain(
            SHAPE,
            conv(),
            affine((6, 1, 1), signs=(-1.0,)),
            MaxPool(name="pool", **POOL),
            Relu(name="act"),
        )
    )

    assert "affine" not in after


@pytest.mark.parametrize("shift", [(), PER_CHANNEL, SHAPE])
@pytest.mark.parametrize("scale", [(), PER_CHANNEL])
def test_a_sum_pool_adds_a_shift_once_for_each_value(scale, shift):
    after = check(chain(SHAPE, affine(scale, shift), SumPool(name="pool", **POOL)))

    assert [node.name for node in after][1:3] == ["pool", "affine"]


def test_a_scale_of_positions_does_not_pass_a_sum_pool():
    graph = chain(SHAPE, affine(SHAPE), SumPool(name="pool", **POOL))

    assert fold_affine(graph, CONTEXT) is graph


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize(("scale", "shift"), [((), ()), (PER_CHANNEL, SHAPE), ((6,), ())])
def test_it_is_rearranged_with_what_it_passes(scale, shift, is_plain):
    order = None if is_plain else np.random.default_rng(0).permutation(120)
    flat = Rearrange(name="flat", shape=(120,), order=order)

    after = check(chain(SHAPE, affine(scale, shift), flat, Relu(name="act")))

    assert [node.name for node in after][1:3] == ["flat", "affine"]


def test_a_long_way_is_gone_step_by_step():
    order = np.random.default_rng(0).permutation(72)
    graph = chain(
        SHAPE,
        Conv(name="first", weight=numbers(4, 4, 1, 1)),
        Relu(name="act"),
        affine(PER_CHANNEL, PER_CHANNEL, signs=(1.0,)),
        MaxPool(name="pool", **POOL),
        Rearrange(name="flat", shape=(72,), order=order),
        Dense(name="last", weight=numbers(2, 72)),
    )

    after = check(graph, lambda graph: after_phase(graph, Phase.PREPARE, CONTEXT))

    assert [node.name for node in after] == ["x", "first", "act", "pool", "flat", "last", "y"]


def test_twice_is_once():
    graph = fold_affine(chain(SHAPE, conv(), affine(), Relu(name="act")), CONTEXT)

    assert fold_affine(graph, CONTEXT) is graph


def test_a_layer_that_others_read_is_left_alone():
    graph = chain(SHAPE, conv(), affine(), Relu(name="act"))
    graph = Graph("g", (*graph.nodes, Relu(name="other", inputs=("conv",))))

    assert fold_affine(graph, CONTEXT) is graph


def test_a_scale_of_every_position_is_left_between_convolutions_and_refused():
    first = Conv(name="first", weight=numbers(4, 4, 1, 1))
    last = Conv(name="last", weight=numbers(1, 4, 1, 1))
    graph = chain(SHAPE, first, Relu(name="act"), affine(SHAPE), last)

    with pytest.raises(VerifyError) as error:
        after_phase(graph, Phase.PREPARE, CONTEXT)

    assert str(error.value) == (
        "verify at 'affine': Affine is left after prepare; what may be is Input, Output, "
        "Dense, Conv, Add, Rearrange, MaxPool, Relu, Staircase, LmHt\n"
        "  hint: scale all positions of a channel alike, or put the normalization directly "
        "before or after a layer"
    )


def test_the_type_of_the_weights_does_not_widen_behind_a_convolution():
    after = fold_affine(chain(SHAPE, affine(PER_CHANNEL), conv()), CONTEXT)

    assert after["conv"].weight.dtype == np.float32
