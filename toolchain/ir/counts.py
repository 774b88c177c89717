"""What a spiking graph computes in spike counts: the same answer without the single spikes.

Every neuron's count is that of `MultiThreshold`, whichever way it is lowered, and an OR over
sorted trains has the count of the longest of them (``toolchain.passes.lower_neurons`` has the
proofs).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense, Input, MaxPool
from toolchain.ir.convolution import convolve, largest_in_windows
from toolchain.ir.exact_products import Kind, exact_kind
from toolchain.ir.graph import Graph
from toolchain.ir.lifetimes import last_readers
from toolchain.ir.node import Node
from toolchain.ir.reference import compute, counts_of
from toolchain.ir.snn import Spiking
from toolchain.ir.windows import run_windows

Values: TypeAlias = npt.NDArray[Any]
Run: TypeAlias = Callable[..., Any]

_BLOCK_VALUES = 1 << 17


def sweep(
    graph: Graph,
    x: npt.NDArray[np.generic],
    run: Run | None = None,
) -> Iterator[tuple[Node, tuple[Values, ...], Values]]:
    """Run a graph node by node, keeping only what is still to be read.

    Args:
        graph: Converted or later, or what else ``run`` takes.
        x: ``(batch, *source_shape)``, in the units of the model's input.
        run: Gives the output of a node for its inputs; `None` for `count`.

    Yields:
        Each node with its inputs and its output, ``(batch, *shape)``; keep what is needed.
    """
    values: dict[str, Values] = {}
    last = last_readers(graph)
    for node in graph:
        inputs = tuple(values[name] for name in node.inputs)
        value = (run or count)(node, *(inputs or (np.asarray(x, np.float64),)))
        values[node.name] = value
        for name in last[node.name]:
            del values[name]
        yield node, inputs, value


def count(node: Node, *inputs: Values, kind: Kind = np.float64) -> Values:
    """Return the output of one node for its inputs, all ``(batch, *shape)``, in counts.

    Spike counts are integers of the narrowest type. Sums of integers are exact, in whatever
    type holds them.

    Args:
        node: After `Phase.CONVERT`.
        inputs: What it reads.
        kind: Of other sums; in float32, where means are wanted, they take half the time.
    """
    if isinstance(node, Spiking):
        return fired(node, *inputs)
    if isinstance(node, MaxPool):
        (x,) = inputs
        return largest_in_windows(x, node.kernel, node.stride, node.padding)
    if isinstance(node, (Dense, Conv)):
        (x,) = inputs
        return _products(node, x, kind)
    value = counts_of(compute(node, *inputs))
    if isinstance(node, Input) and node.encoding is not None:
        limits = map(np.min_scalar_type, (node.encoding.low, node.encoding.high))
        return value.astype(np.result_type(*limits))
    return value


def _products(layer: Dense | Conv, x: Values, kind: Kind) -> Values:
    weight = layer.weight
    if kind is np.float64:
        kind = exact_kind(weight, x, layer.bias)
    if isinstance(layer, Dense):
        sums: Any = x.astype(kind, copy=False) @ weight.T.astype(kind, copy=False)
    else:
        geometry = layer.stride, layer.padding, layer.dilation, layer.groups
        sums = convolve(x, weight, *geometry, kind)
    sums += np.asarray(layer.bias, kind)
    return sums


def fired(neurons: Spiking, a: Values, more: Values | None = None) -> Values:
    """Return the counts of neurons in the narrowest type, for sums ``(batch, *shape)``.

    They are found a block of samples after the other, which stays in caches.

    Args:
        neurons: One or more windows.
        a: Sums of the layers before them.
        more: Is added to the sums, ``(*shape)`` or what broadcasts to it.
    """
    counts = np.empty(a.shape, np.min_scalar_type(neurons.levels))
    block = max(1, _BLOCK_VALUES * len(a) // max(a.size, 1))
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        sums = a[rows].astype(np.float64)
        sums = sums if more is None else sums + more
        counts[rows] = run_windows(neurons, sums, functools.partial(_fire, neurons.levels))
    return counts


def _fire(levels: int, m: Values, threshold: Values) -> tuple[Values, Values]:
    n = np.asarray(m / threshold)
    np.clip(np.floor(n, out=n), 0, levels, out=n)
    return n, n
