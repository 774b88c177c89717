"""Spike counts of every population that a graph stands for, from those of its neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import MaxPool, Rearrange
from toolchain.ir.ends import encoded_inputs
from toolchain.ir.graph import Graph
from toolchain.ir.reference import gather
from toolchain.ir.snn import Spiking

Counts = npt.NDArray[np.integer[Any]]


def counted_populations(graph: Graph) -> frozenset[str]:
    """Return the names of neurons, of pools of their spikes, and of what reorders those."""
    known: set[str] = set()
    for node in graph:
        passes_on = isinstance(node, (MaxPool, Rearrange)) and node.inputs[0] in known
        if isinstance(node, Spiking) or passes_on:
            known.add(node.name)
    return frozenset(known)


def graph_counts(
    graph: Graph, inputs: Counts, neurons: Mapping[str, Counts]
) -> dict[str, Counts]:
    """Return the values of the input, and the counts of neurons, pools and rearrangements.

    Args:
        graph: Quantized.
        inputs: Encoded samples ``(samples, *encoded shape)``.
        neurons: Counts ``(samples, *shape)`` of all populations of neurons.
    """
    values: dict[str, Counts] = {**encoded_inputs(graph, inputs)}
    for node in graph:
        if isinstance(node, Spiking):
            values[node.name] = neurons[node.name].astype(
                np.min_scalar_type(node.levels), copy=False
            )
        elif isinstance(node, MaxPool):
            values[node.name] = _largest(node, values[node.inputs[0]])
        elif isinstance(node, Rearrange) and node.inputs[0] in values:
            flat = values[node.inputs[0]].reshape(len(inputs), -1)
            values[node.name] = gather(flat, node.order).reshape(-1, *node.shape)
    return values


def _largest(pool: MaxPool, x: Counts) -> Counts:
    """Return the largest count of each window; counts are at least 0, as the padding is."""
    _, _, height, width = x.shape
    x = np.pad(x, ((0, 0), (0, 0), *pool.padding))
    rows, columns = (
        slice(0, (length + sum(pads) - size) // step * step + 1, step)
        for length, pads, size, step in zip(
            (height, width), pool.padding, pool.kernel, pool.stride, strict=True
        )
    )
    largest: Counts | None = None
    for row, column in np.ndindex(*pool.kernel):
        part = x[
            :,
            :,
            row : rows.stop + row : rows.step,
            column : columns.stop + column : columns.step,
        ]
        largest = part.copy() if largest is None else np.maximum(largest, part, out=largest)
    if largest is None:
        raise ValueError("a pool without a window")
    return largest
