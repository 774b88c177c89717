"""Count mode: the spike counts of a quantized network as plain integer layers.

A frame of a population is one layer operation, whatever its levels (``toolchain.ir.counts``).
Sums run in floating point of the width that holds them exactly: float32 where every partial sum
stays below 2**24, else float64, which the registers of any target are far below.
"""

from __future__ import annotations

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

Values: TypeAlias = npt.NDArray[Any]

_EXACT_BITS = 24
_BATCH_BYTES = 32 * 2**20


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
    batch = max(1, _BATCH_BYTES // (8 * largest))
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
        self.node = node
        self.parameters: dict[str, Values] = {}
        if isinstance(node, (Dense, Conv)):
            sums = np.maximum(*proved_sums(node, *input_range(graph, node)))
            constant = np.abs(np.asarray(node.bias)).max()
            fits = float(sums.max()) + float(constant) < 2**_EXACT_BITS
            dtype = np.float32 if fits else np.float64
            self.parameters = {
                "weight": node.weight.astype(dtype),
                "bias": np.asarray(node.bias, dtype),
            }


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
    return x.astype(weight.dtype, copy=False) @ weight.T + parameters["bias"]


@_apply.register
def _(node: Conv, x: Values, parameters: Mapping[str, Values]) -> Values:
    weight = parameters["weight"]
    x = x.astype(weight.dtype, copy=False)
    sums = convolve(x, weight, node.stride, node.padding, node.dilation, node.groups)
    return sums + parameters["bias"]


@_apply.register
def _(node: Spiking, x: Values, parameters: Mapping[str, Values]) -> Values:
    potential = x.astype(np.int32) + np.asarray(node.initial, np.int32)
    counts = potential // np.asarray(node.threshold, np.int32)
    return np.clip(counts, 0, node.levels).astype(np.float32)


@_apply.register
def _(node: MaxPool, x: Values, parameters: Mapping[str, Values]) -> Values:
    return windows(x, node.kernel, node.stride, node.padding).max(axis=(4, 5))


@_apply.register
def _(node: Rearrange, x: Values, parameters: Mapping[str, Values]) -> Values:
    flat = x.reshape(len(x), -1)
    y = flat if node.order is None else flat[:, node.order.ravel()]
    return y.reshape(len(x), *node.shape)
