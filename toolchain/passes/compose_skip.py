r"""Compose layers that read single values with what follows them.

Such a layer (`Conv.is_skip`, and a dense one with at most two weights a row) scales values or
takes the difference of two, :math:`y_c = \sum_i w_{ci} x_{ci}`. A layer that reads it can read
:math:`x` instead,

.. math:: W' = W \, \mathrm{diag}(w),

and one with a shift, too, as `fold-affine` has it. A pool that sums changes places with it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Conv, Dense, Rearrange, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node
from toolchain.rewriting import Context, compiler_pass

_READS_MAX = 2


@compiler_pass("compose-skip", phase=Phase.PREPARE, after=("flatten-sums",))
def compose_skip(graph: Graph, _: Context) -> Graph:
    """Remove every such layer without a shift that only another layer reads."""
    for node in graph:
        if node.name in graph and is_skip(node):
            graph = _compose(graph, graph[node.name])
    return graph


def is_skip(node: Node) -> bool:
    """Tell whether each output of a layer reads at most two values and nothing is added."""
    if isinstance(node, Conv):
        return node.is_skip and node.groups == len(node.weight) and not np.any(node.bias)
    if not isinstance(node, Dense) or np.any(node.bias):
        return False
    return int(np.count_nonzero(node.weight, axis=1).max()) <= _READS_MAX


def _compose(graph: Graph, skip: Node) -> Graph:
    user = graph.only_user(skip.name)
    if isinstance(user, SumPool):
        return graph.exchange(skip.name)
    if isinstance(user, Conv) and isinstance(skip, Conv):
        return _absorbed(graph, skip, into_convolution(user, skip))
    if isinstance(user, Dense) and isinstance(skip, Dense):
        weight = user.weight @ skip.weight
        return _absorbed(graph, skip, dataclasses.replace(user, weight=weight))
    if isinstance(user, Rearrange) and user.order is None and isinstance(skip, Conv):
        dense = graph.only_user(user.name)
        if isinstance(dense, Dense):
            return _with_dense_after(graph, skip, user, dense)
    return graph


def _absorbed(graph: Graph, skip: Node, user: Node) -> Graph:
    user = dataclasses.replace(user, origin=skip.origin + user.origin)
    return graph.swap(user).bypass(skip.name)


def into_convolution(user: Conv, skip: Conv) -> Conv:
    """Return the convolution that does both, of one that has a group for each channel.

    Args:
        user: Reads ``skip``.
        skip: With a kernel of one element, a stride of 1 and no bias or padding.
    """
    channels, reads = skip.weight.shape[:2]
    scale = skip.weight.reshape(user.groups, 1, channels // user.groups, reads, 1, 1)
    rows, columns, *kernel = user.weight.shape
    grouped = user.weight.reshape(user.groups, rows // user.groups, columns, 1, *kernel) * scale
    return dataclasses.replace(user, weight=grouped.reshape(rows, columns * reads, *kernel))


def _with_dense_after(graph: Graph, skip: Conv, flat: Rearrange, dense: Dense) -> Graph:
    channels, reads = skip.weight.shape[:2]
    scale: Array = skip.weight.reshape(1, channels, reads, 1)
    by_channel = dense.weight.reshape(len(dense.weight), channels, 1, -1)
    weight = (by_channel * scale).reshape(len(dense.weight), -1)
    wider = dataclasses.replace(flat, shape=(weight.shape[1],))
    composed = dataclasses.replace(dense, weight=weight, origin=skip.origin + dense.origin)
    return graph.swap(wider, composed).bypass(skip.name)
