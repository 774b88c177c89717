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

from toolchain.ir.ann import Add, Conv, Dense, Input, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, IndexArray, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("fold-rearrangement", phase=Phase.PREPARE, after=("fold-affine",))
def fold_rearrangement(graph: Graph, _: Context) -> Graph:
    """Fold or move every `Rearrange` by one node; the phase repeats until none can move."""
    return rewrite_each(graph, Rearrange, _fold)


def _fold(graph: Graph, node: Rearrange) -> Graph:
    graph, node = _merged(graph, node)
    before, after = graph.producer(node), graph.only_user(node.name)
    shape = graph.shapes[before.name]
    is_alone = graph.only_user(before.name) is node
    if node.order is None and node.shape == shape:
        return _absorb(graph, node, before)
    if isinstance(before, (Input, Rearrange)) and is_alone:
        order = _composed(before.order, node.order)
        if isinstance(before, Input):
            size = int(np.prod(before.source_shape))
        else:
            size = int(np.prod(graph.shapes[before.inputs[0]]))
        order = _unless_plain(order, size)
        return _absorb(graph, node, dataclasses.replace(before, shape=node.shape, order=order))
    if isinstance(before, (Dense, Conv)) and is_alone and not _keeps_all(node, shape):
        chosen = _rows(before, node, shape)
        return graph if chosen is None else _absorb(graph, node, chosen)
    if isinstance(after, LmHt) and _keeps_all(node, shape):
        return graph.swap(_behind(after, node)).exchange(node.name)
    if isinstance(after, (Relu, Smooth)):
        return graph.exchange(node.name)
    if isinstance(after, Add):
        return _behind_sum(graph, node, after)
    folded = None if after is None else _into(after, node, shape)
    if folded is None:
        return graph
    if len(shape) == 1 or isinstance(after, (Output, Conv)):
        folded = dataclasses.replace(folded, origin=node.origin + folded.origin)
        return graph.swap(folded).bypass(node.name)
    flat = dataclasses.replace(node, order=None, shape=(int(np.prod(shape)),))
    return graph.swap(folded, flat)


def _merged(graph: Graph, node: Rearrange) -> tuple[Graph, Rearrange]:
    """Return the graph with one node, which is returned too, where all read an input alike."""
    before = graph.producer(node)
    copies = [other for other in graph.users(before.name) if other is not node]
    is_alike = all(isinstance(other, Rearrange) and _is_alike(node, other) for other in copies)
    if not (isinstance(before, Input) and is_alike):
        return graph, node
    for other in copies:
        readers = [reader.name for reader in graph.users(other.name)]
        graph = graph.redirect(other.name, readers, node.name).without(other.name)
        node = dataclasses.replace(node, origin=node.origin + other.origin)
    return graph.swap(node), node


def _is_alike(one: Rearrange, other: Rearrange) -> bool:
    if one.order is None or other.order is None:
        return one.order is other.order and one.shape == other.shape
    return one.shape == other.shape and np.array_equal(one.order, other.order)


def _absorb(graph: Graph, node: Rearrange, before: Node) -> Graph:
    """Return the graph without ``node``, which ``before`` now stands for."""
    kept = dataclasses.replace(before, origin=before.origin + node.origin)
    return graph.swap(kept).bypass(node.name)


def _composed(first: IndexArray | None, second: IndexArray | None) -> IndexArray | None:
    if first is None or second is None:
        return first if second is None else second
    second = second.ravel()
    return np.where(second < 0, -1, first.ravel()[second])


def _unless_plain(order: IndexArray | None, size: int) -> IndexArray | None:
    """Return the order, `None` where it keeps ``size`` values as they are."""
    if order is None or not np.array_equal(order.ravel(), np.arange(size)):
        return order
    return None


def _keeps_all(node: Rearrange, shape: Shape) -> bool:
    """Tell whether every value of ``shape`` is read once."""
    size = int(np.prod(shape))
    if node.order is None or node.order.size != size:
        return node.order is None
    return np.array_equal(np.sort(node.order.ravel()), np.arange(size))


def _channels(node: Rearrange, shape: Shape) -> IndexArray | None:
    """Return which channel each channel repeats, -1 for none; `None` if values move in them."""
    if node.order is None or len(node.shape) != 3 or node.shape[1:] != shape[1:]:
        return None
    positions = int(np.prod(shape[1:]))
    order = node.order.reshape(node.shape[0], positions)
    channels = np.where(order[:, 0] < 0, -1, order[:, 0] // positions)
    whole = channels[:, None] * positions + np.arange(positions)
    is_whole = np.where(channels[:, None] < 0, order == -1, order == whole)
    return channels if bool(is_whole.all()) else None


def _rows(layer: Dense | Conv, node: Rearrange, shape: Shape) -> Node | None:
    """Return the layer with the outputs that ``node`` chooses."""
    if isinstance(layer, Dense):
        rows = node.order.ravel() if node.order is not None else None
    else:
        rows = _channels(node, shape) if layer.groups == 1 else None
    if rows is None or len(node.shape) != len(shape):
        return None
    weight, bias = layer.weight[rows], layer.bias_by_row[rows]
    weight[rows < 0], bias[rows < 0] = 0, 0
    return dataclasses.replace(layer, weight=weight, bias=bias)


def _behind(neurons: LmHt, node: Rearrange) -> LmHt:
    """Return the neurons as they are when ``node`` reads them and not they it."""
    if node.order is None:
        return neurons
    size = node.order.size
    tensor = np.arange(size) if neurons.tensor_order is None else neurons.tensor_order.ravel()
    order = np.empty(size, tensor.dtype)
    order[node.order.ravel()] = tensor
    return dataclasses.replace(neurons, tensor_order=order)


def _behind_sum(graph: Graph, node: Rearrange, total: Add) -> Graph:
    """Rearrange a sum instead of its terms, where all are rearranged alike."""
    terms = [graph[name] for name in total.inputs]
    sources = []
    for term in terms:
        if not isinstance(term, Rearrange) or graph.only_user(term.name) is not total:
            return graph
        same = term.order is node.order or (
            term.order is not None
            and node.order is not None
            and np.array_equal(term.order.ravel(), node.order.ravel())
        )
        if not same or graph.shapes[term.inputs[0]] != graph.shapes[node.inputs[0]]:
            return graph
        sources.append(term.inputs[0])
    users = [user.name for user in graph.users(total.name)]
    origin = tuple(name for term in terms for name in term.origin)
    moved = dataclasses.replace(
        node, name=graph.unused(f"{total.name}/rearranged"), inputs=(total.name,), origin=origin
    )
    graph = graph.insert_behind(total.name, moved).redirect(total.name, users, moved.name)
    graph = graph.swap(dataclasses.replace(total, inputs=tuple(sources)))
    for term in terms:
        graph = graph.without(term.name)
    return graph


@singledispatch
def _into(user: Node, node: Rearrange, shape: Shape) -> Node | None:
    """Return what ``user`` becomes when it reads what ``node`` reads, which has ``shape``."""
    return None


@_into.register
def _(user: Dense, node: Rearrange, shape: Shape) -> Node | None:
    if node.order is None:
        return None
    return dataclasses.replace(
        user, weight=_gathered_back(user.weight, node.order.ravel(), int(np.prod(shape)))
    )


@_into.register
def _(user: Conv, node: Rearrange, shape: Shape) -> Node | None:
    channels = _channels(node, shape)
    if channels is None or user.groups != 1:
        return None
    return dataclasses.replace(user, weight=_gathered_back(user.weight, channels, shape[0]))


@_into.register
def _(user: Output, node: Rearrange, shape: Shape) -> Node | None:
    is_plain = np.ndim(user.scale) == 0 and np.ndim(user.offset) == 0
    if not _keeps_all(node, shape) and not (is_plain and not np.any(user.offset)):
        return None

    def moved(value: Array) -> Array:
        if np.ndim(value) == 0:
            return value
        flat = np.broadcast_to(value, node.shape).ravel()
        before = np.empty_like(flat)
        before[slice(None) if node.order is None else node.order.ravel()] = flat
        return before.reshape(shape)

    return dataclasses.replace(
        user,
        order=_unless_plain(_composed(node.order, user.order), int(np.prod(shape))),
        scale=moved(user.scale),
        offset=moved(user.offset),
    )


def _gathered_back(weight: Array, order: IndexArray, size: int) -> Array:
    """Return the weights ``(out, size, ...)`` that do the same before a choice as after it.

    Args:
        weight: ``(out, chosen, ...)``.
        order: Which of ``size`` values each chosen one is, -1 for a zero.
        size: Number of values before the choice.
    """
    by_value = np.zeros((size, len(weight), *weight.shape[2:]), weight.dtype)
    np.add.at(by_value, order[order >= 0], weight.swapaxes(0, 1)[order >= 0])
    return by_value.swapaxes(0, 1).copy()
