"""fold-rearrangement makes nothing but names of reshapes and transposes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Add, Affine, Conv, Dense, Input, MaxPool, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import evaluate, run
from toolchain.ir.snn import LmHt
from toolchain.passes.fold_rearrangement import fold_rearrangement
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, chain_from, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
NUMBERS = np.random.default_rng(0)
CONV = Conv(name="conv", weight=NUMBERS.integers(-3, 4, (3, 1, 2, 2)))
"""Makes ``(3, 2, 2)`` of ``(1, 3, 3)``."""
SAMPLES = NUMBERS.integers(-4, 5, (3, 1, 3, 3))

permutations = st.permutations(range(12)).map(np.array)


def dense(name, outputs, inputs):
    weight = np.random.default_rng(inputs).integers(-4, 5, (outputs, inputs))
    return Dense(name=name, weight=weight)


def folded(graph):
    return after_phase(graph, Phase.PREPARE, CONTEXT)


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_network(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(fold_rearrangement(graph, CONTEXT), x), run(graph, x))


@given(permutations)
def test_a_dense_layer_takes_any_order(order):
    permuted = Rearrange(name="order", shape=(12,), order=order)
    graph = chain((1, 3, 3), CONV, Relu(name="act"), permuted, dense("last", 4, 12))

    after = folded(graph)

    assert after["order"].order is None
    np.testing.assert_array_equal(run(after, SAMPLES), run(graph, SAMPLES))


@given(permutations, permutations)
def test_neurons_remember_which_value_of_the_model_is_theirs(order, tensor_order):
    """The model's value is ``tensor.flat[tensor_order] = y.flat``, whatever is moved."""
    neurons = LmHt(
        name="pop", levels=3, threshold=2.0, mixing=np.eye(2), tensor_order=tensor_order
    )
    permuted = Rearrange(name="order", shape=(12,), order=order)
    graph = chain((4,), dense("a", 12, 4), permuted, neurons, dense("last", 4, 12))
    x = NUMBERS.integers(-4, 5, (3, 4))

    after = folded(graph)

    assert not after.of_type(Rearrange)
    np.testing.assert_array_equal(tensor_of(after, x), tensor_of(graph, x))


def tensor_of(graph, x):
    (node,) = graph.of_type(LmHt)
    sent = evaluate(graph, x)[node.name].values
    tensor = np.empty_like(sent)
    tensor[..., node.tensor_order] = sent
    return tensor


@given(permutations)
def test_nothing_is_left_between_flat_populations(order):
    permuted = Rearrange(name="order", shape=(12,), order=order)
    graph = chain((4,), dense("a", 12, 4), Relu(name="act"), permuted, dense("last", 4, 12))
    x = NUMBERS.integers(-4, 5, (3, 4))

    after = folded(graph)

    assert not after.of_type(Rearrange)
    assert after["last"].origin == ("order", "last")
    np.testing.assert_array_equal(run(after, x), run(graph, x))


@given(permutations, permutations, permutations)
def test_a_chain_becomes_one_flattening(first, second, third):
    graph = chain(
        (1, 3, 3),
        CONV,
        Rearrange(name="a", shape=(2, 6), order=first),
        Relu(name="act"),
        Rearrange(name="b", shape=(3, 2, 2), order=second),
        Rearrange(name="c", shape=(12,), order=third),
        dense("last", 4, 12),
    )

    after = folded(graph)

    (left,) = after.of_type(Rearrange)
    assert left.order is None
    assert set(left.origin) == {"a", "b", "c"}
    np.testing.assert_array_equal(run(after, SAMPLES), run(graph, SAMPLES))


@given(permutations)
def test_the_host_reorders_inputs(order):
    entry = Input(name="x", shape=(3, 4), source_shape=(12,), order=NUMBERS.permutation(12))
    permuted = Rearrange(name="order", shape=(12,), order=order)
    graph = chain_from(entry, permuted, dense("last", 4, 12))
    x = NUMBERS.integers(-4, 5, (3, 12))

    after = folded(graph)

    assert [node.name for node in after] == ["x", "last", "y"]
    np.testing.assert_array_equal(run(after, x), run(graph, x))


@given(permutations, permutations)
def test_the_host_reorders_outputs(order, outer):
    permuted = Rearrange(name="order", shape=(6, 2), order=order)
    graph = chain((1, 3, 3), CONV, permuted)
    graph = graph.swap(Output(name="y", inputs=("order",), shape=(12,), order=outer))

    after = folded(graph)

    assert [node.name for node in after] == ["x", "conv", "y"]
    np.testing.assert_array_equal(run(after, SAMPLES), run(graph, SAMPLES))


@given(permutations, st.booleans())
def test_outputs_are_reordered_with_their_scales(order, has_outer):
    """A scale of each output has to follow it to the place that it now comes from."""
    permuted = Rearrange(name="order", shape=(12,), order=order)
    graph = chain((1, 3, 3), CONV, permuted)
    output = Output(
        name="y",
        inputs=("order",),
        shape=(12,),
        order=np.arange(12)[::-1] if has_outer else None,
        scale=np.arange(1.0, 13),
        offset=np.arange(12.0) * 7,
    )
    graph = graph.swap(output)

    after = folded(graph)

    assert [node.name for node in after] == ["x", "conv", "y"]
    np.testing.assert_array_equal(run(after, SAMPLES), run(graph, SAMPLES))


@pytest.mark.parametrize("order", [None, NUMBERS.permutation(12)], ids=["plain", "permuted"])
def test_a_shift_of_each_output_survives(order):
    flat = Rearrange(name="flat", shape=(12,), order=order)
    shift = Affine(name="shift", shift=np.arange(12.0))
    graph = chain((1, 3, 3), CONV, flat, shift)

    np.testing.assert_array_equal(run(folded(graph), SAMPLES), run(graph, SAMPLES))


def test_what_changes_nothing_goes_away():
    same = Rearrange(name="same", shape=(3, 2, 2))
    graph = chain((1, 3, 3), CONV, Relu(name="act"), same)

    after = fold_rearrangement(graph, CONTEXT)

    assert "same" not in after
    assert after["act"].origin == ("act", "same")


def test_two_that_undo_each_other_go_away():
    order = NUMBERS.permutation(12)
    there = Rearrange(name="there", shape=(12,), order=order)
    back = Rearrange(name="back", shape=(3, 2, 2), order=np.argsort(order))
    last = Conv(name="last", weight=np.ones((1, 3, 1, 1)))

    after = folded(chain((1, 3, 3), CONV, Relu(name="act"), there, back, last))

    assert [node.name for node in after] == ["x", "conv", "act", "last", "y"]


def test_a_rectifier_goes_first():
    flat = Rearrange(name="flat", shape=(12,))
    graph = fold_rearrangement(
        chain((1, 3, 3), CONV, flat, Relu(name="act"), dense("last", 4, 12)), CONTEXT
    )

    assert [node.name for node in graph] == ["x", "conv", "act", "flat", "last", "y"]
    assert graph.shapes["act"] == (3, 2, 2)


def test_twice_is_once():
    permuted = Rearrange(name="order", shape=(12,), order=NUMBERS.permutation(12))
    graph = folded(chain((1, 3, 3), CONV, Relu(name="act"), permuted, dense("last", 4, 12)))

    assert fold_rearrangement(graph, CONTEXT) is graph


def test_a_plain_flattening_is_left_alone():
    flat = Rearrange(name="flat", shape=(12,))
    graph = chain((1, 3, 3), CONV, Relu(name="act"), flat, dense("last", 4, 12))

    assert fold_rearrangement(graph, CONTEXT) is graph


def test_what_two_read_is_left_alone():
    graph = chain((4,), dense("a", 4, 4), Rearrange(name="r", shape=(2, 2)), Relu(name="act"))
    graph = Graph("g", (*graph.nodes, Relu(name="other", inputs=("r",))))

    assert fold_rearrangement(graph, CONTEXT) is graph


@pytest.mark.parametrize(
    "reader",
    [
        Conv(name="reader", weight=np.ones((1, 2, 1, 1))),
        MaxPool(name="reader", kernel=(2, 2), stride=(2, 2)),
    ],
)
def test_an_order_that_no_layer_can_look_up_is_left_for_relays(reader):
    odd = Rearrange(name="odd", shape=(2, 2, 3), order=NUMBERS.permutation(12))
    size = int(np.prod(reader.output_shape((2, 2, 3))))
    flat = Rearrange(name="flat", shape=(size,))
    nodes = (CONV, Relu(name="act"), odd, reader)
    if isinstance(reader, Conv):
        nodes = (*nodes, Relu(name="act2"))

    graph = chain((1, 3, 3), *nodes, flat, dense("last", 4, size))

    after = folded(graph)

    np.testing.assert_array_equal(after["odd"].order, odd.order)
    np.testing.assert_array_equal(run(after, SAMPLES), run(graph, SAMPLES))


@given(permutations)
def test_an_input_takes_the_order_that_all_its_readers_want(order):
    entry = Input(name="x", shape=(3, 4), source_shape=(3, 4))
    ways = [Rearrange(name=n, inputs=("x",), shape=(12,), order=order) for n in ("p", "q")]
    layers = [dataclasses.replace(dense(f"{n}1", 4, 12), inputs=(n,)) for n in ("p", "q")]
    output = Output(name="y", inputs=("sum",), shape=(4,))
    total = Add(name="sum", inputs=("p1", "q1"))
    graph = Graph(name="net", nodes=(entry, *ways, *layers, total, output))
    x = NUMBERS.integers(-4, 5, (3, 3, 4))

    after = fold_rearrangement(graph, CONTEXT)

    assert not after.of_type(Rearrange)
    np.testing.assert_array_equal(run(after, x), run(graph, x))


def test_an_input_whose_readers_want_other_orders_keeps_its_own():
    entry = Input(name="x", shape=(3, 4), source_shape=(3, 4))
    orders = {"p": np.arange(12)[::-1], "q": np.roll(np.arange(12), 1)}
    ways = [
        Rearrange(name=name, inputs=("x",), shape=(12,), order=order)
        for name, order in orders.items()
    ]
    layers = [dataclasses.replace(dense(f"{n}1", 4, 12), inputs=(n,)) for n in orders]
    total = Add(name="sum", inputs=("p1", "q1"))
    output = Output(name="y", inputs=("sum",), shape=(4,))
    graph = Graph(name="net", nodes=(entry, *ways, *layers, total, output))
    x = NUMBERS.integers(-4, 5, (3, 3, 4))

    after = fold_rearrangement(graph, CONTEXT)

    assert after["x"].order is None
    np.testing.assert_array_equal(run(after, x), run(graph, x))
