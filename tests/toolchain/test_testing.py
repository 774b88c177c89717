"""Random networks are varied, can be drawn again, and lead to samples at all extremes."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir.ann import (
    Affine,
    Conv,
    Dense,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.reference import encode
from toolchain.ir.snn import LmHt
from toolchain.ir.text import print_graph
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_network,
    random_samples,
    random_windows,
    samples_of,
)

TARGET = TARGETS["loihi2"]
KINDS = {Input, Output, Conv, Dense, MaxPool, SumPool, Affine, Rearrange, Relu}


def test_every_imported_primitive_is_drawn():
    networks = [random_network(Random(seed)) for seed in range(60)]

    assert {type(node) for network in networks for node in network} == KINDS
    convolutions = [node for network in networks for node in network.of_type(Conv)]
    for trait in (
        lambda node: node.groups > 1,
        lambda node: max(node.stride) > 1,
        lambda node: max(node.dilation) > 1,
        lambda node: node.padding[0][0] != node.padding[0][1],
    ):
        assert any(map(trait, convolutions))


def test_windows_of_every_kind_are_drawn():
    networks = [random_windows(Random(seed)) for seed in range(80)]
    populations = [node for network in networks for node in network.of_type(LmHt)]

    assert {node.levels for node in populations} == set(range(1, 17))
    assert {node.windows for node in populations} == set(range(1, 7))
    assert {len(network.of_type(LmHt)) for network in networks} == set(range(1, 7))
    assert min(node.retention for node in populations) < 0.6
    assert {network.input.windows > 1 for network in networks} == {True, False}
    drawn = {type(node) for network in networks for node in network}
    assert drawn == KINDS - {Relu} | {LmHt}
    above = {bool(np.triu(node.mixing, 1).any()) for node in populations}
    below = {bool(np.tril(node.mixing, -1).any()) for node in populations if node.windows > 1}
    assert above == below == {True, False}


def test_windows_can_be_drawn_alike():
    networks = [random_windows(Random(seed), is_even=True) for seed in range(40)]

    for network in networks:
        assert network.input.windows == 1
        assert not network.of_type(MaxPool)
        for node in network.of_type(LmHt):
            assert np.ptp(node.mixing) == 0
            assert node.retention == 1


def test_the_smallest_numbers_give_the_plainest_network():
    """It is what hypothesis shrinks to."""

    class Smallest(Random):
        def randint(self, low, high):
            return low

        def choice(self, things):
            return things[0]

    network = random_network(Smallest())

    assert [node.kind for node in network] == ["Input", "Conv", "Relu", "Conv", "Output"]


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_same_seed_gives_the_same(is_whole):
    first, second = (random_network(Random(5), is_whole=is_whole) for _ in range(2))

    assert print_graph(first) == print_graph(second)
    samples = (random_samples(first, Random(5), 3, is_whole=is_whole) for _ in range(2))
    np.testing.assert_array_equal(*samples)


def test_a_chain_is_wired_and_accounted_for():
    graph = chain(
        (2,), Relu(name="a"), Dense(name="b", weight=np.ones((3, 2)), origin=("p", "q"))
    )

    assert [(n.name, *n.inputs) for n in graph] == [("x",), ("a", "x"), ("b", "a"), ("y", "b")]
    assert graph.source_nodes == ("a", "p", "q")
    assert graph.output.shape == (3,)


@given(st.randoms())
def test_extremes_are_at_the_ends_of_the_encoding(random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    try:
        stages = compile_network(network, x, TARGET, levels=3, lowering="temporal")
    except ConversionError:
        assume(False)
    entry = stages.quantized.input

    found = extreme_inputs(stages.quantized, random, 6)

    low, high = entry.encoding.low, entry.encoding.high
    assert found.shape == (6, *entry.shape)
    assert set(np.unique(found)) == {low, high}
    assert np.all(found[0] == low)
    assert np.all(found[1] == high)
    np.testing.assert_array_equal(encode(entry, samples_of(entry, found)), found)
