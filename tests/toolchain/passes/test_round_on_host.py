"""round-on-host makes encodings and roundings of quantizers at both ends, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.ir.ann import Affine, Conv, Dense, HostOp, Rearrange
from toolchain.ir.reference import run
from toolchain.ir.staircase import Staircase
from toolchain.passes.round_on_host import round_on_host
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
X = np.random.default_rng(0).integers(-60, 61, (20, 3)) / 8
DENSE = Dense(name="dense", weight=np.random.default_rng(1).integers(-3, 4, (4, 3)) / 4)
STAIRS = Staircase(name="stairs", low=-3, high=6, tensor="steps", tensor_zero=9)


def scaled(scale, shift=0.0, name="scale"):
    return Affine(name=name, scale=np.asarray(scale), shift=np.asarray(shift))


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_at_the_input_it_is_the_encoding(shift):
    graph = chain((3,), scaled(2.0, shift), STAIRS, DENSE)

    rounded = round_on_host(graph, CONTEXT)

    code = rounded.input.encoding
    assert (code.scale, code.low, code.high) == (0.5, -3 - shift, 6 - shift)
    assert (code.tensor, code.tensor_zero) == ("steps", 9 + shift)
    assert not rounded.of_type(Staircase)
    np.testing.assert_array_equal(run(rounded, X), run(graph, X))


def test_without_a_scale_the_sample_is_in_steps():
    graph = chain((3,), STAIRS, DENSE)

    rounded = round_on_host(graph, CONTEXT)

    assert rounded.input.encoding.scale == 1
    np.testing.assert_array_equal(run(rounded, X), run(graph, X))


@pytest.mark.parametrize(
    "nodes",
    [
        (scaled(-1.0), STAIRS),
        (scaled(1.0, 0.5), STAIRS),
        (scaled([1.0, 2.0, 1.0]), STAIRS),
        (dataclasses.replace(STAIRS, high=np.inf),),
        (dataclasses.replace(STAIRS, high=2.0**31),),
        (scaled(1.0, 1e38), STAIRS),
        (dataclasses.replace(STAIRS, rounds_down=True),),
        (Conv(name="layer", weight=np.ones((3, 1, 1, 1))), STAIRS),
    ],
    ids=[
        "turned",
        "between steps",
        "for each value",
        "no limit",
        "large",
        "far",
        "down",
        "behind a layer",
    ],
)
def test_what_no_encoding_says_is_left(nodes):
    shape = (1, 1, 3) if isinstance(nodes[0], Conv) else (3,)
    graph = chain(shape, *nodes, scaled(0.5, name="last"))

    assert round_on_host(graph, CONTEXT) is graph


def test_at_the_output_the_host_rounds_and_then_scales():
    graph = chain((3,), DENSE, STAIRS)
    last = dataclasses.replace(graph.output, scale=np.array(0.25), offset=np.array(1.5))
    graph = graph.swap(last)

    rounded = round_on_host(graph, CONTEXT)

    first, second = rounded.output.tail
    assert (first.function, first.low, first.high) == ("round", -3, 6)
    assert (first.tensor, first.tensor_zero) == ("steps", 9)
    assert (second.function, second.factor, second.shift) == ("affine", 0.25, 1.5)
    np.testing.assert_array_equal(run(rounded, X), run(graph, X))


def test_what_the_host_does_besides_comes_after_it():
    graph = chain((3,), DENSE, STAIRS)
    softmax = HostOp(name="softmax", function="softmax", axis=0)
    graph = graph.swap(dataclasses.replace(graph.output, tail=(softmax,)))

    rounded = round_on_host(graph, CONTEXT)

    assert [step.function for step in rounded.output.tail] == ["round", "affine", "softmax"]
    np.testing.assert_allclose(run(rounded, X), run(graph, X))


def test_an_output_with_a_scale_for_each_value_is_left():
    graph = chain((3,), DENSE, STAIRS)
    graph = graph.swap(dataclasses.replace(graph.output, scale=np.arange(1.0, 5.0)))

    assert round_on_host(graph, CONTEXT) is graph


def test_a_value_in_another_order_is_not_compared():
    turn = Rearrange(name="turn", shape=(3,), order=np.array([2, 0, 1]))
    graph = chain((3,), turn, STAIRS, DENSE)
    entry = dataclasses.replace(graph.input, order=np.array([2, 0, 1]))
    graph = graph.swap(entry).bypass("turn")

    assert round_on_host(graph, CONTEXT).input.encoding.tensor == ""


def test_twice_is_once():
    graph = round_on_host(chain((3,), scaled(2.0), STAIRS, DENSE), CONTEXT)

    assert round_on_host(graph, CONTEXT) is graph
