"""Which samples stay within the bounds that the registers of a network were chosen for.

Where bounds are proved, all do. Where they were observed on other samples
(``docs/semantics.md``, section 4), a sample does if in every population the sum of the positive
terms and that of the negative ones are within them: no partial sum is further out, in whatever
order spikes arrive.

That is a network, too: each layer twice, with its positive weights and with its negative
ones, and neurons of threshold 1 that start as far below 0 as the bound is high. They spike
where a sum is beyond it, and one neuron at the end says whether any of them did. So the answer
comes in integers, with the counts of the network and from what computes those.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from toolchain.errors import VerifyError
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array, Node
from toolchain.ir.snn import MultiThreshold, Spiking

Layer: TypeAlias = Dense | Conv


def watched(graph: Graph, populations: Collection[str]) -> tuple[Graph, str | None]:
    """Return a network with one more neuron, which spikes if a sample leaves a bound.

    Args:
        graph: Quantized.
        populations: Whose bounds matter; names that are not of neurons do not.

    Returns:
        The network, and the neuron's name: `None` where all bounds are proved.
    """
    writer = _Writer(graph)
    observed = [
        writer.any_beyond(node)
        for node in graph.of_type(Spiking)
        if node.bound != "proved" and node.name in populations
    ]
    if not observed:
        return graph, None
    return writer.finish(observed)


class _Writer:
    """Adds nodes to a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._parts: dict[str, tuple[tuple[str, int], ...]] = {}

    def any_beyond(self, neurons: Spiking) -> str:
        """Add a layer that counts the sums of a population beyond its bounds."""
        layers = self._graph.layers_into(neurons)
        name = f"{neurons.name}/beyond"
        halves = [
            self._add(_halves(layer, sign, f"{layer.name}/{source}/halves", source))
            for layer in layers
            for source, sign in self._signed(layer.inputs[0])
        ]
        total = self._sum(halves, f"{name}/sums")
        shape = self._graph.shapes[total]
        bounds = np.stack(_bounds(neurons, shape[0] // 2), axis=1)
        column = (-1, *(1 for _ in shape[1:]))
        value = self._add(
            MultiThreshold(
                name=name, inputs=(total,), levels=1, initial=-bounds.reshape(column)
            )
        )
        if len(shape) > 1:
            whole = (shape[1], shape[2])
            pool = MaxPool(name=f"{name}/pooled", inputs=(value,), kernel=whole, stride=(1, 1))
            flat = Rearrange(name=f"{name}/flat", inputs=(self._add(pool),), shape=shape[:1])
            value = self._add(flat)
        ones = np.ones((1, shape[0]), np.int64)
        return self._add(Dense(name=f"{name}/any", inputs=(value,), weight=ones))

    def finish(self, observed: Sequence[str]) -> tuple[Graph, str]:
        """Add the last neuron; return the graph and its name."""
        total = self._sum(observed, self._graph.unused("beyond bounds/sums"))
        name = self._graph.unused("beyond bounds")
        self._add(MultiThreshold(name=name, inputs=(total,), levels=1))
        return self._graph, name

    def _signed(self, source: str) -> tuple[tuple[str, int], ...]:
        """Return the positive part of a value, and the negative one if there is any."""
        if source not in self._parts:
            node = self._graph[source]
            while isinstance(node, (MaxPool, Rearrange)):
                node = self._graph.producer(node)
            is_signed = isinstance(node, Input) and _code(node)[0] < 0
            self._parts[source] = (
                tuple((self._part(source, sign, node), sign) for sign in (1, -1))
                if is_signed
                else ((source, 1),)
            )
        return self._parts[source]

    def _part(self, source: str, sign: int, entry: Node) -> str:
        """Add neurons whose counts are the part of a value that has one sign."""
        low, high = _code(entry)
        name = f"{source}/{'positive' if sign > 0 else 'negative'}"
        size, *positions = self._graph.shapes[source]
        layer: Layer = Dense(name=f"{name}/part", weight=sign * np.eye(size, dtype=np.int64))
        if positions:
            weight = np.full((size, 1, 1, 1), sign)
            layer = Conv(name=layer.name, weight=weight, groups=size)
        self._add(replace(layer, inputs=(source,)))
        levels = max(high if sign > 0 else -low, 1)
        return self._add(MultiThreshold(name=name, inputs=(layer.name,), levels=levels))

    def _sum(self, names: Sequence[str], name: str) -> str:
        return names[0] if len(names) == 1 else self._add(Add(name=name, inputs=tuple(names)))

    def _add(self, node: Node) -> str:
        self._graph = self._graph.with_nodes((*self._graph.nodes, node))
        return node.name


def _halves(layer: Layer, sign: int, name: str, source: str) -> Layer:
    """Return a layer with two channels for each: its positive and its negative terms."""
    sides = [np.maximum(side * layer.weight, 0) for side in (sign, -sign)]
    weight = np.stack(sides, axis=1).reshape(-1, *layer.weight.shape[1:])
    return replace(layer, name=name, inputs=(source,), weight=weight, bias=np.zeros(()))


def _bounds(neurons: Spiking, channels: int) -> tuple[Array, Array]:
    """Return what the positive and the negative terms of each channel may add up to."""
    low = np.asarray(neurons.low)
    if neurons.windows > 1:  # what inhibits is within the bound, too
        low = low - neurons.levels * neurons.lateral.sum(axis=1).ravel()
    high, low = (
        np.broadcast_to(side, channels).astype(np.int64) for side in (neurons.high, low)
    )
    return high, low


def _code(entry: Node) -> tuple[int, int]:
    """Return the smallest and the largest integer that enters."""
    if not isinstance(entry, Input) or entry.encoding is None:
        raise VerifyError("has no encoding", node=entry.name)
    return entry.encoding.low, entry.encoding.high
