"""What is sent in a network whose populations change one by one, from the input on.

What a population receives depends on those before it as they have become, so it is looked at
behind them. Counts that are still read are kept, a byte for each; sums are computed some
samples at a time, so that many samples need little memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Add, Conv, Dense
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node

Layer: TypeAlias = Dense | Conv
Values: TypeAlias = npt.NDArray[Any]

_BLOCK_VALUES = 1 << 20
_KEPT_BYTES = 8 * 2**20
"""Sums of all samples are computed once if they take no more; else whenever they are wanted."""


class RunningCounts:
    """Counts of a network on samples, as far as its populations are what they will be.

    Args:
        graph: Converted or later.
        x: Samples, ``(samples, *source_shape)``.
    """

    def __init__(self, graph: Graph, x: npt.NDArray[np.generic]) -> None:
        self._graph, self._samples = graph, x
        self._next = 0
        self._counts: dict[str, Values] = {}
        self._last: dict[str, int] = {}
        for place, node in enumerate(graph):
            if not isinstance(node, (Dense, Conv, Add)):
                self._last |= dict.fromkeys(self._sources(node), place)

    def advance(self, until: Node, changed: Mapping[str, Node]) -> None:
        """Compute what is sent before a node, and forget what nothing reads any more.

        Args:
            until: Nodes come in the order of the graph.
            changed: Nodes before it that are no longer those of the graph, by name.
        """
        nodes = self._graph.nodes
        while nodes[self._next] is not until:
            node = nodes[self._next]
            if not isinstance(node, (Dense, Conv, Add)) and node.name not in self._counts:
                self._counts[node.name] = self._count(node, changed)
            for name in [n for n in self._counts if self._last.get(n, 0) <= self._next]:
                if name != node.name:
                    del self._counts[name]
            self._next += 1

    def read_by(self, layer: Layer) -> Values:
        """Return the counts that a layer before the next population reads."""
        return self._counts[layer.inputs[0]]

    def sums(self, layers: Sequence[Layer]) -> BlockSums:
        """Return the sums that the next population receives from its layers."""
        return BlockSums(layers, [self.read_by(layer) for layer in layers])

    def send(self, node: Node, counts: Values) -> None:
        """Take the counts of the next population as known."""
        self._counts[node.name] = counts

    def _count(self, node: Node, changed: Mapping[str, Node]) -> Values:
        current = changed.get(node.name, node)
        run = functools.partial(count, current)
        if not node.inputs:
            return in_blocks(run, self._samples)
        layers = self._graph.layers_into(node)
        if not layers:
            return run(*(self._counts[name] for name in node.inputs))
        as_they_are = [changed.get(layer.name, layer) for layer in layers]
        return self.sums([each for each in as_they_are if isinstance(each, Layer)]).sent(run)

    def _sources(self, node: Node) -> tuple[str, ...]:
        """Return what a node reads, past the layers before it."""
        if not node.inputs:
            return ()
        layers = self._graph.layers_into(node)
        return tuple(layer.inputs[0] for layer in layers) or node.inputs


class BlockSums:
    """Sums of layers in float32, some samples at a time.

    Args:
        layers: At least one; what they compute is added up.
        read: What each of them reads, ``(samples, *shape)``.
    """

    def __init__(self, layers: Sequence[Layer], read: Sequence[Values]) -> None:
        self._layers, self._read = layers, read
        self._samples = len(read[0])
        values = max(int(np.prod(layers[0].output_shape(read[0].shape[1:]))), read[0][0].size)
        self._block = max(1, _BLOCK_VALUES // values)
        self._kept: list[Values] | None = None
        self._is_kept = 4 * values * self._samples <= _KEPT_BYTES

    def sent(self, run: Callable[[Values], Values]) -> Values:
        """Return what neurons send, ``(samples, *shape)``.

        Args:
            run: Gives their counts for sums ``(block, *shape)``.
        """
        return joined(map(run, self._all()), self._samples)

    def mean_sent(self, run: Callable[[Values], Values]) -> npt.NDArray[np.float64]:
        """Return the mean of what neurons send, by channel, ``(C,)``; see `sent`."""
        total, number = 0.0, 0
        for counts in map(run, self._all()):
            total = total + counts.sum(axis=(0, *range(2, counts.ndim)), dtype=np.float64)
            number += counts[:, 0].size
        return np.asarray(total) / number

    def _all(self) -> Iterable[Values]:
        """Return the sums of all samples, block after block."""
        if self._kept is None and self._is_kept:
            self._kept = list(self._blocks())
        return self._blocks() if self._kept is None else self._kept

    def _blocks(self) -> Iterator[Values]:
        for start in range(0, self._samples, self._block):
            rows = slice(start, start + self._block)
            yield functools.reduce(
                np.add,
                (
                    count(layer, read[rows], kind=np.float32)
                    for layer, read in zip(self._layers, self._read, strict=True)
                ),
            )


def in_blocks(run: Callable[[Values], Values], x: Values) -> Values:
    """Return what a function gives for samples, of which it is given some at a time."""
    return joined(map(run, sample_blocks(x)), len(x))


def sample_blocks(x: Values) -> Iterator[Values]:
    """Yield samples some at a time, of about as many values together."""
    block = max(1, _BLOCK_VALUES * len(x) // max(x.size, 1))
    for start in range(0, len(x), block):
        yield x[start : start + block]


def joined(blocks: Iterator[Values], samples: int) -> Values:
    """Return blocks of samples one after the other, without a second copy of all."""
    first = next(blocks)
    whole = np.empty((samples, *first.shape[1:]), first.dtype)
    whole[: len(first)] = first
    start = len(first)
    for block in blocks:
        whole[start : start + len(block)] = block
        start += len(block)
    return whole
