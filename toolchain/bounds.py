"""How far the input current of a population can go, proved or observed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense, Input
from toolchain.ir.counts import count, sweep
from toolchain.ir.graph import Graph
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking

Layer: TypeAlias = Dense | Conv
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
    rows = layer.weight.reshape(len(layer.weight), -1).astype(np.float64)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.maximum(-rows, 0).sum(axis=1)
    least, most = float(low), float(high)  # whole numbers may have more than 64 bits
    return negative * most - positive * least, positive * most - negative * least


def summed(sums: Sequence[Sums]) -> Sums:
    """Add up the bounds of layers that one population reads."""
    low, high = (np.sum(sides, axis=0) for sides in zip(*sums, strict=True))
    return low, high


def observed_sums(graph: Graph, x: npt.NDArray[np.generic]) -> dict[str, Sums]:
    """Return the largest sums of negative and of positive terms on samples, by layer.

    Args:
        graph: Converted or later.
        x: ``(samples, *source_shape)``.
    """
    sums = {}
    for node, inputs, _ in sweep(graph, x):
        if isinstance(node, (Dense, Conv)):
            (counts,) = inputs
            raised, lowered = np.maximum(counts, 0), np.maximum(-counts, 0)
            up = _largest(node, raised, 1) + _largest(node, lowered, -1)
            down = _largest(node, raised, -1) + _largest(node, lowered, 1)
            sums[node.name] = (down, up)
    return sums


def _largest(layer: Layer, counts: Floats, sign: int) -> Floats:
    """Return the largest sums ``(C,)`` through the weights of one sign, as magnitudes."""
    if not counts.any():
        return np.zeros(len(layer.weight))
    weight = np.maximum(sign * layer.weight, 0)
    half = dataclasses.replace(layer, weight=weight, bias=np.zeros(()))
    sums = count(half, counts)
    return sums.max(axis=(0, *range(2, sums.ndim)))
