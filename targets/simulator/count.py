"""Count mode: the spike counts of a quantized network as plain integer layers.

A frame of a population is one layer operation, whatever its levels (``toolchain.ir.counts``).
Sums run in floating point of the width that holds them exactly: float32 where every partial sum
stays below 2**24, else float64, which the registers of any target are far below.

Spike counts are quotients rounded down, in the same types with their p = 24 or 53 bits. That is
exact where ``levels * threshold`` is below 2**p, too: a potential just below ``k * threshold``
has the quotient ``k - 1 / threshold``, and the next number below ``k`` is nearer to ``k``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.bounds import input_range, proved_sums
from toolchain.ir.ann import Conv, Dense, Input, MaxPool, Output, Rearrange
from toolchain.ir.convolution import convolve, windows
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.snn import Spiking
from toolchain.ir.windows import run_windows

Values: TypeAlias = npt.NDArray[Any]

_EXACT_BITS = 24
_BATCH_BYTES = 2**20
"""Size of the largest layer in a batch; larger ones leave the caches."""


@dataclass(frozen=True, eq=False)
class CountResult:
    """What count mode found.

    Attributes:
        readout: What leaves the last layer, ``(samples, *shape)``, int64, in weight units.
        counts: Spike counts ``(samples, *shape)`` by population, in the order of the graph.
    """

    readout: npt.NDArray[np.int64]
    counts: Mapping[str, npt.NDArray[np.uint16]]


def count_spikes(graph: Graph, x: npt.NDArray[Any]) -> CountResult:
    """Run encoded samples through a quantized graph.

    Args:
        graph: After `Phase.QUANTIZE`.
        x: Encoded samples ``(samples, *input shape)``, integers.
    """
    layers = [_Step(graph, node) for node in graph if not isinstance(node, (Input, Output))]
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    batch = max(1, _BATCH_BYTES // (4 * largest))
    chunks = [_run(layers, x[start : start + batch]) for start in range(0, len(x), batch)]
    return CountResult(
        readout=np.concatenate([readout for readout, _ in chunks]),
        counts={
            name: np.concatenate([counts[name] for _, counts in chunks])
            for name in (chunks[0][1] if chunks else ())
        },
    )


class _Step:
    """One node with its parameters in the type that its sums need."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.node: Node = node
        self.parameters: dict[str, Values] = {}
        if isinstance(node, Spiking):
            dtype = _exact_type(_largest_potential(graph, node))
            self.node = dataclasses.replace(
                node,
                threshold=np.asarray(node.threshold, dtype),
                initial=np.asarray(node.initial, dtype),
                lateral=np.asarray(node.lateral, dtype),
            )
        if isinstance(node, (Dense, Conv)):
            dtype = _exact_type(_largest_sum(graph, node))
            self.parameters = {
                "weight": node.weight.astype(dtype),
                "bias": np.asarray(node.bias, dtype),
            }


def _exact_type(largest: float) -> type[np.float32] | type[np.float64]:
    """Return the narrowest type that holds all integers up to ``largest``."""
    return np.float32 if largest < 2**_EXACT_BITS else np.float64


def _largest_sum(graph: Graph, layer: Dense | Conv) -> float:
    """Return what no partial sum of a layer exceeds, its bias included."""
    sums = np.maximum(*proved_sums(layer, *input_range(graph, layer)))
    return float(sums.max()) + _magnitude(layer.bias)


def _largest_potential(graph: Graph, neurons: Spiking) -> float:
    """Return what no potential and no ``levels * threshold`` exceeds."""
    layer = graph.producer(neurons)
    sums = _largest_sum(graph, layer) if isinstance(layer, (Dense, Conv)) else np.inf
    inhibition = neurons.windows * neurons.levels * _magnitude(neurons.lateral)
    potential = sums + _magnitude(neurons.initial) + inhibition
    return max(potential, neurons.levels * _magnitude(neurons.threshold))


def _magnitude(values: Values) -> float:
    return float(np.abs(values).max())


def _run(layers: list[_Step], x: Values) -> tuple[Values, dict[str, Values]]:
    value: Values = x.astype(np.float32)
    counts: dict[str, Values] = {}
    for step in layers:
        value = _apply(step.node, value, step.parameters)
        if isinstance(step.node, Spiking):
            counts[step.node.name] = value.astype(np.uint16)
    return value.astype(np.int64), counts


@singledispatch
def _apply(node: Node, x: Values, parameters: Mapping[str, Values]) -> Values:
    raise NotImplementedError(node.kind)


@_apply.register
def _(node: Dense, x: Values, parameters: Mapping[str, Values]) -> Values:
    weight = parameters["weight"]
    sums = x.astype(weight.dtype, copy=False) @ weight.T
    sums += parameters["bias"]
    return sums


@_apply.register
def _(node: Conv, x: Values, parameters: Mapping[str, Values]) -> Values:
    weight = parameters["weight"]
    x = x.astype(weight.dtype, copy=False)
    sums: Values = convolve(x, weight, node.stride, node.padding, node.dilation, node.groups)
    sums += parameters["bias"]
    return sums


@_apply.register
def _(node: Spiking, x: Values, parameters: Mapping[str, Values]) -> Values:
    def fire(m: Values, threshold: Values) -> tuple[Values, Values]:
        m /= threshold
        np.clip(m, 0, node.levels, out=m)
        n = np.floor(m, out=m)
        return n, n

    return run_windows(node, x, fire).astype(np.float32, copy=False)


@_apply.register
def _(node: MaxPool, x: Values, parameters: Mapping[str, Values]) -> Values:
    patches = windows(x, node.kernel, node.stride, node.padding)
    largest = patches[..., 0, 0].copy(order="K")
    for row, column in np.ndindex(*node.kernel):
        np.maximum(largest, patches[..., row, column], out=largest)
    return largest


@_apply.register
def _(node: Rearrange, x: Values, parameters: Mapping[str, Values]) -> Values:
    flat = x.reshape(len(x), -1)
    y = flat if node.order is None else flat[:, node.order.ravel()]
    return y.reshape(len(x), *node.shape)
