"""distribute-concat leaves no concatenation: each reader takes its parts, or their sum."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.passes.distribute_concat import distribute_concat
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, random_branches, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
X = np.random.default_rng(0).integers(-4, 5, (3, 2, 3, 3))


def numbers(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


def joined(*readers, parts=("a", "b")):
    """Return the graph of two layers of 2 and 4 channels, joined, and nodes in a row."""
    layers = [
        Conv(name="a", inputs=("x",), weight=numbers(2, 2, 1, 1)),
        Conv(name="b", inputs=("x",), weight=numbers(4, 2, 1, 1)),
    ]
    last = joint = Concat(name="joint", inputs=parts)
    row = []
    for node in readers:
        last = dataclasses.replace(node, inputs=(last.name,))
        row.append(last)
    nodes = [Input(name="x", shape=(2, 3, 3), source_shape=(2, 3, 3)), *layers, joint, *row]
    nodes = [dataclasses.replace(node, origin=(node.name,)) for node in nodes]
    body = Graph("joined", tuple(nodes), ("a", "b", "joint", *(node.name for node in row)))
    end = Output(name="y", inputs=(last.name,), shape=body.shapes[last.name], tensor="y")
    return body.with_nodes((*nodes, end))


def check(graph):
    after = distribute_concat(graph, CONTEXT)

    np.testing.assert_array_equal(run(after, X), run(graph, X))
    assert "joint" not in after or not isinstance(after["joint"], Concat)
    return after


@given(st.randoms())
def test_the_function_is_kept(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 2, is_whole=True)

    np.testing.assert_array_equal(run(distribute_concat(graph, CONTEXT), x), run(graph, x))


@pytest.mark.parametrize(
    "layer",
    [
        Conv(name="read", weight=numbers(3, 6, 2, 2), bias=numbers(3, 1, 1)),
        Conv(
            name="read", weight=numbers(3, 6, 1, 1), bias=np.ones(()), padding=((1, 0), (0, 2))
        ),
    ],
)
def test_a_layer_becomes_a_sum_of_layers_one_of_which_has_the_bias(layer):
    after = check(joined(layer))

    assert isinstance(after["read"], Add)
    first, second = (after[name] for name in after["read"].inputs)
    assert (first.inputs, second.inputs) == (("a",), ("b",))
    assert (first.weight.shape[1], second.weight.shape[1]) == (2, 4)
    np.testing.assert_array_equal(first.bias, layer.bias)
    assert not np.any(second.bias)
    assert after["read"].origin == ("joint", "read")


@pytest.mark.parametrize(
    "reader",
    [
        Relu(name="read"),
        Affine(name="read", scale=numbers(6, 1, 1), shift=np.ones(())),
        MaxPool(name="read", kernel=(2, 2), stride=(1, 1)),
        SumPool(name="read", kernel=(2, 2), stride=(1, 1)),
        Conv(name="read", weight=numbers(6, 2, 1, 1), bias=numbers(6, 1, 1), groups=3),
        Rearrange(name="read", shape=(54,)),
        Rearrange(
            name="read",
            shape=(6, 3, 3),
            order=np.arange(54).reshape(6, 3, 3)[[1, 0, 3, 2, 5, 4]].ravel(),
        ),
    ],
    ids=["relu", "affine", "max-pool", "sum-pool", "groups", "flatten", "order"],
)
def test_what_treats_channels_apart_is_done_to_each_part(reader):
    after = check(joined(reader))

    parts = [after[name] for name in after["read"].inputs]
    assert isinstance(after["read"], Concat)
    assert [(part.kind, part.inputs) for part in parts] == [
        (reader.kind, ("a",)),
        (reader.kind, ("b",)),
    ]


@pytest.mark.parametrize(
    "readers",
    [
        (),
        (Affine(name="read", scale=numbers(6, 3, 3)),),
        (Conv(name="read", weight=numbers(4, 3, 1, 1), groups=2),),
        (
            Rearrange(
                name="read", shape=(6, 3, 3), order=np.random.default_rng(0).permutation(54)
            ),
        ),
    ],
    ids=["output", "scale of positions", "groups across parts", "order across parts"],
)
def test_whatever_else_reads_it_gets_a_sum_of_parts_among_zeros(readers):
    after = check(joined(*readers))

    assert isinstance(after["joint"], Add)
    assert [after[name].inputs for name in after["joint"].inputs] == [("a",), ("b",)]


def test_flat_parts_are_columns_of_a_dense_layer():
    flat = Rearrange(name="flat", shape=(54,))

    after = check(check(joined(flat, Dense(name="read", weight=numbers(3, 54)))))

    assert isinstance(after["read"], Add)
    assert [after[name].weight.shape for name in after["read"].inputs] == [(3, 18), (3, 36)]


def test_a_part_may_be_joined_twice():
    after = check(joined(Conv(name="read", weight=numbers(3, 8, 1, 1)), parts=("a", "b", "a")))

    assert [after[name].inputs for name in after["read"].inputs] == [("a",), ("b",), ("a",)]


def test_concatenations_in_a_row_are_gone_when_the_network_is_prepared():
    graph = joined(Conv(name="read", weight=numbers(3, 8, 1, 1)), parts=("a", "b", "a"))
    outer = Concat(name="joint", inputs=("inner", "a"), origin=("joint",))
    graph = graph.insert_before("joint", Concat(name="inner", inputs=("a", "b"))).swap(outer)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert not prepared.of_type(Concat)
    np.testing.assert_array_equal(run(prepared, X), run(graph, X))


def test_twice_is_once():
    graph = check(joined(Conv(name="read", weight=numbers(3, 6, 2, 2))))

    assert distribute_concat(graph, CONTEXT) is graph
