"""How far the input current of a population can go, proved or observed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense, Input
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.snn import Spiking
from toolchain.running_counts import RunningCounts, sample_blocks

Layer: TypeAlias = Dense | Conv
Values: TypeAlias = npt.NDArray[Any]
Sums: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Largest negative (as a magnitude) and largest positive sum of each channel, ``(C,)`` each."""


def input_range(graph: Graph, layer: Layer) -> tuple[int, int]:
    """Return the smallest and largest value that a layer's inputs can have."""
    feeder = graph.feeder(layer)
    if isinstance(feeder, Spiking):
        return 0, feeder.levels
    if isinstance(feeder, Input) and feeder.encoding is not None:
        return feeder.encoding.low, feeder.encoding.high
    raise TypeError(f"{layer.name} reads no integers")


def proved_sums(layer: Layer, low: int, high: int) -> Sums:
    """Bound the sums for inputs anywhere in ``low``..``high``, arriving in any order.

    A sum is never below that of its negative terms alone nor above that of its positive ones.
    """
    rows = layer.weight.reshape(len(layer.weight), -1)
    positive = np.maximum(rows, 0).sum(axis=1, dtype=np.float64)
    negative = -np.minimum(rows, 0).sum(axis=1, dtype=np.float64)
    least, most = float(low), float(high)  # whole numbers may have more than 64 bits
    return negative * most - positive * least, positive * most - negative * least


def summed(sums: Sequence[Sums]) -> Sums:
    """Add up the bounds of layers that one population reads."""
    low, high = (np.sum(sides, axis=0) for sides in zip(*sums, strict=True))
    return low, high


class Observer:
    """Largest sums on samples, in a network whose populations are quantized one by one."""

    def __init__(self, graph: Graph, x: npt.NDArray[np.generic]) -> None:
        self._graph, self._counts = graph, RunningCounts(graph, x)

    def sums(self, neurons: Node, quantized: Mapping[str, Node]) -> Sums:
        """Return the largest sums that a population receives, in the units of its layers.

        Args:
            neurons: The population; populations come in the order of the graph.
            quantized: The nodes before it with their integers, by name.
        """
        self._counts.advance(neurons, quantized)
        layers = self._graph.layers_into(neurons)
        return summed([_largest_sums(layer, self._counts.read_by(layer)) for layer in layers])


def _largest_sums(layer: Layer, counts: Values) -> Sums:
    """Return the largest sums of a layer, of which some samples at a time are computed.

    Weights of one sign that meet inputs of one sign are added up apart.
    """
    signs = (1,) if counts.min(initial=0) >= 0 else (1, -1)
    halves = {sign: _half(layer, sign) for sign in (1, -1)}
    peaks = {(s, i): np.zeros(len(layer.weight)) for s in halves for i in (1, -1)}
    for block in sample_blocks(counts):
        part = block.astype(np.float32)
        for sign in signs:
            read = np.maximum(sign * part, 0)
            for weights, half in halves.items():
                sums = count(half, read, kind=np.float32)
                found = sums.max(axis=(0, *range(2, sums.ndim)))
                peaks[weights, sign] = np.maximum(peaks[weights, sign], found)
    return peaks[-1, 1] + peaks[1, -1], peaks[1, 1] + peaks[-1, -1]


def _half(layer: Layer, sign: int) -> Layer:
    """Return a layer with the weights of one sign, as magnitudes, and no bias."""
    weight = np.maximum(sign * layer.weight, 0)
    return dataclasses.replace(layer, weight=weight, bias=np.zeros(()))
