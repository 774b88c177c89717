"""Fold reshapes and transposes into what comes before and after them.

A rearrangement only renames values, so it costs nothing if the layer after it looks them up
under their old names: the columns of a dense layer are permuted, the host permutes inputs and
outputs, and elementwise operations and other rearrangements let it pass. What is left is the
plain flattening of channels before a dense layer.
"""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import numpy as np

from toolchain.ir.ann import Dense, Input, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, IndexArray, Node, Shape
from toolchain.ir.snn import LmHt
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("fold-rearrangement", phase=Phase.PREPARE, after=("fold-affine",))
def fold_rearrangement(graph: Graph, _: Context) -> Graph:
    """Fold or move every `Rearrange` by one node; the phase repeats until none can move."""
    return rewrite_each(graph, Rearrange, _fold)


def _fold(graph: Graph, node: Rearrange) -> Graph:
    before, after = graph.producer(node), graph.only_user(node.name)
    if node.order is None and node.shape == graph.shapes[before.name]:
        return _absorb(graph, node, before)
    if isinstance(before, (Input, Rearrange)) and graph.only_user(before.name) is node:
        order = _composed(before.order, node.order)
        return _absorb(graph, node, dataclasses.replace(before, shape=node.shape, order=order))
    if isinstance(after, LmHt):
        return graph.swap(_behind(after, node)).exchange(node.name)
    if isinstance(after, Relu):
        return graph.exchange(node.name)
    folded = None if after is None else _into(after, node, graph.shapes[before.name])
    if folded is None:
        return graph
    if len(graph.shapes[before.name]) == 1 or isinstance(after, Output):
        folded = dataclasses.replace(folded, origin=node.origin + folded.origin)
        return graph.swap(folded).bypass(node.name)
    return graph.swap(folded, dataclasses.replace(node, order=None))


def _absorb(graph: Graph, node: Rearrange, before: Node) -> Graph:
    """Return the graph without ``node``, which ``before`` now stands for."""
    kept = dataclasses.replace(before, origin=before.origin + node.origin)
    return graph.swap(kept).bypass(node.name)


def _composed(first: IndexArray | None, second: IndexArray | None) -> IndexArray | None:
    if first is None or second is None:
        order = first if second is None else second
    else:
        order = first.ravel()[second.ravel()]
    is_plain = order is None or bool(np.all(order.ravel() == np.arange(order.size)))
    return None if is_plain else order


def _behind(neurons: LmHt, node: Rearrange) -> LmHt:
    """Return the neurons as they are when ``node`` reads them and not they it."""
    if node.order is None:
        return neurons
    size = node.order.size
    tensor = np.arange(size) if neurons.tensor_order is None else neurons.tensor_order.ravel()
    order = np.empty(size, tensor.dtype)
    order[node.order.ravel()] = tensor
    return dataclasses.replace(neurons, tensor_order=order)


@singledispatch
def _into(user: Node, node: Rearrange, shape: Shape) -> Node | None:
    """Return what ``user`` becomes when it reads what ``node`` reads, which has ``shape``."""
    return None


@_into.register
def _(user: Dense, node: Rearrange, shape: Shape) -> Node | None:
    if node.order is None:
        return None
    weight = np.empty_like(user.weight)
    weight[:, node.order.ravel()] = user.weight
    return dataclasses.replace(user, weight=weight)


@_into.register
def _(user: Output, node: Rearrange, shape: Shape) -> Node | None:
    def moved(value: Array) -> Array:
        if np.ndim(value) == 0:
            return value
        flat = np.broadcast_to(value, node.shape).ravel()
        before = np.empty_like(flat)
        before[slice(None) if node.order is None else node.order.ravel()] = flat
        return before.reshape(shape)

    return dataclasses.replace(
        user,
        order=_composed(node.order, user.order),
        scale=moved(user.scale),
        offset=moved(user.offset),
    )
