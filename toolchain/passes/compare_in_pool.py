r"""Say a max-pool of values that may be negative with comparisons.

Spikes can be pooled, and values that no activation has made are no spikes. But the larger of
two is the one and what the other is above it,

.. math:: \max(a, b) = b + \max(a - b, 0),

so a window of :math:`n` values is :math:`n - 1` populations, in a tree, each as large as what
the pool makes. `split-signed` gives their sum the populations that the layer behind needs.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from toolchain.ir.ann import Add, Affine, Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.rewriting import Context, compiler_pass

_WINDOW = range(2, 10)
_SIDE_MAX = 16
"""Longest side of a window; each element more is a population more."""


@compiler_pass("compare-in-pool", phase=Phase.PREPARE, after=("separate-positions",))
def compare_in_pool(graph: Graph, _: Context) -> Graph:
    """Replace the first `MaxPool` that reads a layer or a sum; the phase repeats.

    Pools with windows of more than 16 elements in a row stay, and so do all in networks whose
    activations are trained as spikes or as steps.
    """
    if any(isinstance(node, (LmHt, Staircase)) for node in graph):
        return graph
    for pool in graph.of_type(MaxPool):
        if _feeds_activation(graph, pool):
            continue
        source = graph.producer(pool)
        if isinstance(source, Rearrange):
            source = graph.producer(source)
        is_small = 1 < max(pool.kernel) <= _SIDE_MAX
        if not is_small or not isinstance(source, (Dense, Conv, Add)):
            continue
        if min(pool.kernel) > 1 and int(np.prod(pool.kernel)) not in _WINDOW:
            return _by_axis(graph, pool)
        return _compared(*_without_padding(graph, pool))
    return graph


def _by_axis(graph: Graph, pool: MaxPool) -> Graph:
    """Pool the columns, then the rows."""
    columns = dataclasses.replace(
        pool,
        name=graph.unused(f"{pool.name}/columns"),
        kernel=(pool.kernel[0], 1),
        stride=(pool.stride[0], 1),
        padding=(pool.padding[0], (0, 0)),
    )
    rows = dataclasses.replace(
        pool,
        inputs=(columns.name,),
        kernel=(1, pool.kernel[1]),
        stride=(1, pool.stride[1]),
        padding=((0, 0), pool.padding[1]),
    )
    return graph.insert_before(pool.name, columns).swap(rows)


def _without_padding(graph: Graph, pool: MaxPool) -> tuple[Graph, MaxPool]:
    """Return the graph with the edges repeated before the pool, and the pool in it."""
    if not np.any(pool.padding):
        return graph, pool
    (source,) = pool.inputs
    shape = graph.shapes[source]
    sides = ((0, 0), *pool.padding)
    order = np.pad(np.arange(np.prod(shape)).reshape(shape), sides, mode="edge")
    edges = Rearrange(
        name=graph.unused(f"{pool.name}/edges"),
        inputs=(source,),
        origin=pool.origin,
        shape=order.shape,
        order=order.ravel(),
    )
    pool = dataclasses.replace(pool, inputs=(edges.name,), padding=((0, 0), (0, 0)))
    return graph.insert_before(pool.name, edges).swap(pool), pool


def _feeds_activation(graph: Graph, pool: MaxPool) -> bool:
    """Tell whether a smooth activation alone reads a pool: its pieces pass the pool."""
    return isinstance(graph.only_user(pool.name), Smooth)


def _compared(graph: Graph, pool: MaxPool) -> Graph:
    rows, columns = (range(size) for size in pool.kernel)
    made: list[Node] = [
        _chosen(graph, pool, row, column) for row, column in itertools.product(rows, columns)
    ]
    left = [node.name for node in made]
    while len(left) > 1:
        first, second, *left = left
        name = graph.unused(f"{pool.name}/compare{len(left)}")
        if not left:
            name = pool.name
        made += _larger(graph, pool, name, first, second)
        left.append(name)
    *before, last = made
    return graph.insert_before(pool.name, *before).swap(last)


def _chosen(graph: Graph, pool: MaxPool, row: int, column: int) -> Conv:
    """Return the layer that takes one value of each window."""
    channels = graph.shapes[pool.name][0]
    weight = np.zeros((channels, 1, *pool.kernel))
    weight[:, :, row, column] = 1
    return Conv(
        name=graph.unused(f"{pool.name}/value{row}.{column}"),
        inputs=pool.inputs,
        origin=pool.origin,
        weight=weight,
        stride=pool.stride,
        groups=channels,
    )


def _larger(graph: Graph, pool: MaxPool, name: str, first: str, second: str) -> list[Node]:
    """Return the nodes that make the larger of two values; the last is called ``name``."""
    minus, difference, above = (
        graph.unused(f"{name}/{part}") for part in ("minus", "difference", "above")
    )
    origin = pool.origin
    return [
        Affine(name=minus, inputs=(second,), origin=origin, scale=np.array(-1.0)),
        Add(name=difference, inputs=(first, minus), origin=origin),
        Relu(name=above, inputs=(difference,), origin=origin),
        Add(name=name, inputs=(second, above), origin=origin),
    ]
