"""What a spiking graph computes in spike counts: the same answer without the single spikes.

Every neuron's count is that of `MultiThreshold`, whichever way it is lowered, and an OR over
sorted trains has the count of the longest of them (``toolchain.passes.lower_neurons`` has the
proofs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense, MaxPool
from toolchain.ir.convolution import convolve, windows
from toolchain.ir.exact_products import exact_operands
from toolchain.ir.graph import Graph
from toolchain.ir.lifetimes import last_readers
from toolchain.ir.node import Node
from toolchain.ir.reference import Floats, compute, counts_of
from toolchain.ir.snn import Spiking
from toolchain.ir.windows import run_windows

Run: TypeAlias = Callable[..., Floats]

_BLOCK_BYTES = 1 << 20


def sweep(
    graph: Graph,
    x: npt.NDArray[np.generic],
    run: Run | None = None,
    *,
    dtype: type[np.floating[Any]] = np.float64,
) -> Iterator[tuple[Node, tuple[Floats, ...], Floats]]:
    """Run a graph node by node, keeping only what is still to be read.

    Args:
        graph: Converted or later.
        x: ``(batch, *source_shape)``, in the units of the model's input.
        run: Gives the output of a node for its inputs; `None` for `count`.
        dtype: Of all values: float64 is exact, float32 half the work where means are wanted.

    Yields:
        Each node with its inputs and its output, ``(batch, *shape)``; keep what is needed.
    """
    values: dict[str, Floats] = {}
    last = last_readers(graph)
    for node in graph:
        inputs = tuple(values[name] for name in node.inputs)
        value = (run or count)(node, *(inputs or (np.asarray(x, np.float64),)))
        value = value.astype(dtype, copy=False)
        values[node.name] = value
        for name in last[node.name]:
            del values[name]
        yield node, inputs, value


def count(node: Node, *inputs: Floats) -> Floats:
    """Return the output of one node for its inputs, all ``(batch, *shape)``, in counts."""
    if isinstance(node, Spiking):
        return _counts(node, *inputs)
    if isinstance(node, MaxPool):
        (x,) = inputs
        return windows(x, node.kernel, node.stride, node.padding, fill=-np.inf).max(axis=(4, 5))
    if isinstance(node, (Dense, Conv)):
        return _products(node, *inputs)
    return counts_of(compute(node, *inputs))


def _products(layer: Dense | Conv, x: Floats) -> Floats:
    """Return what a layer computes, in the type of its input."""
    kind, weight, read = x.dtype, layer.weight, x
    if kind == np.float64:
        weight, read = exact_operands(weight, x)
    weight = weight.astype(read.dtype, copy=False)
    if isinstance(layer, Dense):
        sums: Any = read @ weight.T
    else:
        sums = convolve(read, weight, layer.stride, layer.padding, layer.dilation, layer.groups)
    sums = sums.astype(kind, copy=False)
    sums += np.asarray(layer.bias, kind)
    return sums


def _counts(neurons: Spiking, a: Floats) -> Floats:
    """Return the counts of neurons, a block of samples after the other: all stay in caches."""
    block = max(1, _BLOCK_BYTES * len(a) // max(a.nbytes, 1))
    first = _counts_of_block(neurons, a[:block])
    if block >= len(a):
        return first
    counts = np.empty_like(a, dtype=first.dtype)
    counts[:block] = first
    for start in range(block, len(a), block):
        rows = slice(start, start + block)
        counts[rows] = _counts_of_block(neurons, a[rows])
    return counts


def _counts_of_block(neurons: Spiking, a: Floats) -> Floats:
    def fire(m: Floats, threshold: Floats) -> tuple[Floats, Floats]:
        n = np.asarray(m / threshold)
        np.clip(np.floor(n, out=n), 0, neurons.levels, out=n)
        return n, n

    return run_windows(neurons, a, fire)
