"""The text form says everything about a graph in a line a node, and nothing that varies."""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.ann import Affine, Conv, Dense, Input, MaxPool, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph
from toolchain.ir.text import print_graph
from toolchain.target import TARGETS
from toolchain.testing import chain_from, compile_network, random_network


def whole(*shape):
    """Integers that no arithmetic rounds, so that the golden texts are the same everywhere."""
    return np.random.default_rng(len(shape)).integers(-2, 3, shape).astype(np.float32)


def network():
    channels_last = np.arange(50).reshape(5, 5, 2).transpose(2, 0, 1).ravel()
    graph = chain_from(
        Input(name="x", shape=(5, 5, 2), source_shape=(5, 5, 2)),
        Rearrange(name="transpose", shape=(2, 5, 5), order=channels_last),
        Conv(name="conv", weight=whole(4, 2, 2, 2), bias=whole(4, 1, 1)),
        Affine(name="norm", scale=np.array([1.0, 2.0, 0.5, 1.0]).reshape(4, 1, 1)),
        MaxPool(name="max", kernel=(2, 2), stride=(2, 2)),
        Relu(name="relu1", tensor="conv_out"),
        SumPool(name="sum", kernel=(2, 2), stride=(2, 2)),
        Rearrange(name="flatten", shape=(4,), order=np.array([3, 1, 2, 0])),
        Dense(name="dense1", weight=whole(6, 4), bias=np.full(6, 4.0, np.float32)),
        Relu(name="relu2"),
        Dense(name="dense2", weight=whole(3, 6)),
    )
    return dataclasses.replace(graph, constants=("shape", "folded"))


def samples():
    return np.random.default_rng(0).integers(0, 4, (4, 5, 5, 2)).astype(np.float32)


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_the_text_after_every_phase(golden, lowering):
    stages = compile_network(
        network(),
        samples(),
        TARGETS["loihi2"],
        levels=4,
        lowering=lowering,
        method="maximum",
    )
    graphs = (network(), stages.prepared, stages.converted, stages.lowered, stages.quantized)

    golden(f"text/{lowering}.txt", "\n".join(print_graph(graph) for graph in graphs))


def test_a_line_of_each_kind():
    text = print_graph(network())

    assert text.splitlines()[:2] == [
        "graph 'chain' after import",
        "  %x = Input() shape=(5,5,2) source_shape=(5,5,2) : 5x5x2",
    ]
    assert "  %relu1 = Relu(%max) tensor='conv_out' : 4x2x2  # relu1" in text.splitlines()
    assert text.endswith("\n  constants: shape, folded\n")


@given(st.integers(0, 2**32 - 1))
def test_equal_graphs_have_equal_texts(seed):
    first, second = random_network(Random(seed)), random_network(Random(seed))

    assert first is not second
    assert print_graph(first) == print_graph(second)


def test_the_layout_in_memory_does_not_show():
    node = Dense(name="d", inputs=("x",), weight=whole(6, 4))
    turned = dataclasses.replace(node, weight=np.asfortranarray(node.weight))
    entry = Input(name="x", shape=(4,), source_shape=(4,))

    assert print_graph(Graph("g", (entry, node))) == print_graph(Graph("g", (entry, turned)))


@given(st.integers(0, 23))
def test_any_weight_shows(index):
    weight = whole(6, 4)
    weight.flat[index] += 0.25
    changed = dataclasses.replace(network()["dense1"], weight=weight)

    assert print_graph(network().swap(changed)) != print_graph(network())


def test_what_is_as_by_default_is_left_out():
    assert "dilation" not in print_graph(network())
    assert "stride" not in next(
        line for line in print_graph(network()).splitlines() if "Conv(" in line
    )
