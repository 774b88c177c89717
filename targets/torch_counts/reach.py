r"""How far the integers of a layer and of a population go: what exactness is proved from.

Floating point of :math:`p` bits holds all integers up to :math:`2^p`. A sum of integers is
therefore exact, in any order and with any grouping, if no sum of any part of its terms leaves
that range; `Reach.partial_sum` bounds them all. Tensor cores add a few products at once, after
shifting them to the exponent of the largest. For integers below :math:`2^{24}` nothing but
zeros is shifted out.

Source: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ
Computer Science 7:e330, 2021: products exact, at least 24 bits kept in sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.bounds import Layer, input_range, proved_sums
from toolchain.ir.ann import Add, Conv, Dense, Output
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking

FLOAT16_BITS, FLOAT32_BITS, FLOAT64_BITS = 11, 24, 53
"""Integers up to 2 to the power of these are exact in that type; TF32 has float16's."""


@dataclass(frozen=True)
class Reach:
    """How far the integers of a layer go.

    Attributes:
        low: Smallest input, 0 or less.
        high: Largest input.
        weight_low: Smallest weight.
        weight_high: Largest weight.
        partial_sum: What the magnitude of no sum of any of the products exceeds.
        absolute_sum: What the sum of the weights' magnitudes exceeds for no output.
    """

    low: int
    high: int
    weight_low: int
    weight_high: int
    partial_sum: int
    absolute_sum: int

    @property
    def factor(self) -> int:
        """Largest magnitude of an input or a weight."""
        return max(-self.low, self.high, -self.weight_low, self.weight_high)


def reach_of(graph: Graph, layer: Layer) -> Reach:
    """Return how far the integers of a layer of a quantized graph go, its bias apart."""
    low, high = input_range(graph, layer)
    rows = np.abs(layer.weight.reshape(len(layer.weight), -1))
    return Reach(
        low=min(low, 0),
        high=high,
        weight_low=int(layer.weight.min()),
        weight_high=int(layer.weight.max()),
        partial_sum=int(np.maximum(*proved_sums(layer, low, high)).max()),
        absolute_sum=int(rows.sum(axis=1).max()),
    )


def largest_potential(graph: Graph, node: Spiking | Output) -> int:
    """Return what no potential of ``node``, and no multiple of its threshold, exceeds."""
    layers = graph.layers_into(node)
    potential = sum(reach_of(graph, one).partial_sum + _magnitude(one.bias) for one in layers)
    if not isinstance(node, Spiking):
        return potential
    inhibition = node.windows * node.levels * _magnitude(node.lateral)
    potential += _magnitude(node.initial) + inhibition
    return max(potential, node.levels * _magnitude(node.threshold))


def largest_joint_sum(graph: Graph, add: Add) -> int:
    """Return what the sum of branches never exceeds, biases apart."""
    branches = (graph[name] for name in add.inputs)
    return sum(
        reach_of(graph, layer).partial_sum
        for layer in branches
        if isinstance(layer, (Dense, Conv))
    )


def _magnitude(values: Array) -> int:
    return int(np.abs(values).max())
