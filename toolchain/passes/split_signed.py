r"""Give a linear tensor that layers read two populations, one for each sign.

Between two layers without an activation there is nothing that spikes. But

.. math:: x = \max(x, 0) - \max(-x, 0),

so neurons for :math:`x` and for :math:`-x` carry it, and what read :math:`x` reads their
difference, which `compose-skip` merges into the layers behind. Channel :math:`c` becomes the
channels :math:`2 c` and :math:`2 c + 1`, so that groups stay together. The price is twice the
neurons and one more rounding to levels. Where :math:`x` is never negative, one population does.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Add, Conv, Dense, Input, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.passes.compose_skip import is_skip
from toolchain.rewriting import Context, compiler_pass

_LAYERS = (Dense, Conv)
_ENDS = (Relu, Smooth, LmHt, Staircase, Output)


@compiler_pass("split-signed", phase=Phase.PREPARE, after=("arrange-layers",))
def split_signed(graph: Graph, _: Context) -> Graph:
    """Split the first layer or sum whose readers need spikes; the phase repeats."""
    if graph.of_type(LmHt):
        return graph
    for node in graph:
        is_linear = isinstance(node, (*_LAYERS, Add)) and not _reads_spikes(graph, node)
        if is_linear and not _has_its_population(graph, node) and _can_split(graph, node):
            return _split(graph, node)
    return graph


def _reads_spikes(graph: Graph, node: Node) -> bool:
    """Tell whether a layer only scales spikes, which neurons behind it would merely repeat."""
    return is_skip(node) and not isinstance(graph.producer(node), Input)


def _has_its_population(graph: Graph, node: Node) -> bool:
    user = graph.only_user(node.name)
    if isinstance(node, Add):
        return isinstance(user, _ENDS)
    is_of_sum = isinstance(user, Add) and user.inputs.count(node.name) == 1
    return isinstance(user, _ENDS) or is_of_sum


def _can_split(graph: Graph, node: Node) -> bool:
    """Tell whether all readers can do with two populations; a pool of differences cannot."""
    users = graph.users(node.name)
    parts = [graph[name] for name in node.inputs] if isinstance(node, Add) else [node]
    is_linear = all(
        isinstance(part, _LAYERS) and (part is node or graph.only_user(part.name) is node)
        for part in parts
    )
    return (
        is_linear
        and bool(users)
        and all(
            _is_in_planes(graph, user)
            if isinstance(user, Rearrange)
            else isinstance(user, (*_LAYERS, *_ENDS, Add))
            for user in users
        )
    )


def _is_in_planes(graph: Graph, node: Rearrange) -> bool:
    """Tell whether a rearrangement flattens, or goes from channels to channels."""
    is_plain = node.order is None and len(node.shape) == 1
    return is_plain or len(node.shape) == len(graph.shapes[node.inputs[0]]) == 3


def _split(graph: Graph, node: Node) -> Graph:
    users = graph.users(node.name)
    layers = [graph[name] for name in node.inputs] if isinstance(node, Add) else [node]
    signs = Relu(
        name=graph.unused(f"{node.name}/signs"), inputs=(node.name,), origin=node.origin
    )
    if all(_is_never_negative(graph, layer) for layer in layers):
        graph = graph.insert_behind(node.name, signs)
        return graph.redirect(node.name, [user.name for user in users], signs.name)
    shape = graph.shapes[node.name]
    merge = _difference(graph.unused(f"{node.name}/merge"), signs.name, shape)
    merge = dataclasses.replace(merge, origin=node.origin)
    moved = [user for user in users if isinstance(user, Rearrange) and len(user.shape) == 3]
    merged = [user.name for user in users if user not in moved]
    graph = graph.insert_behind(node.name, signs, *([merge] if merged else []))
    graph = graph.redirect(node.name, merged, merge.name)
    for user in moved:
        graph = _exchanged(graph, user, signs.name, shape)
    return graph.swap(*(_doubled(layer) for layer in layers))


def _is_never_negative(graph: Graph, layer: Node) -> bool:
    """Tell whether a layer adds up what activations send, which is never negative."""
    if not isinstance(layer, _LAYERS) or not isinstance(graph.feeder(layer), Relu):
        return False
    return not (np.any(layer.weight < 0) or np.any(np.asarray(layer.bias) < 0))


def _exchanged(graph: Graph, user: Rearrange, signs: str, shape: Shape) -> Graph:
    """Rearrange both populations instead of their difference, which is taken behind it."""
    size, positions = int(np.prod(shape)), int(np.prod(shape[1:]))
    order = np.arange(size) if user.order is None else user.order
    order = order.reshape(user.shape[0], 1, -1)
    source = 2 * positions * (order // positions) + order % positions
    both = np.where(order < 0, -1, source + positions * np.arange(2)[None, :, None])
    doubled = Rearrange(
        name=graph.unused(f"{user.name}/signs"),
        inputs=(signs,),
        origin=user.origin,
        shape=(2 * user.shape[0], *user.shape[1:]),
        order=both.ravel(),
    )
    merge = _difference(user.name, doubled.name, user.shape)
    merge = dataclasses.replace(merge, origin=user.origin)
    return graph.insert_before(user.name, doubled).swap(merge)


def _doubled(layer: Node) -> Node:
    """Return the layer with every output followed by its negative."""
    if not isinstance(layer, _LAYERS):
        raise TypeError(f"{layer.name} is no layer")
    return dataclasses.replace(layer, weight=_both(layer.weight), bias=_both(layer.bias_by_row))


def _both(rows: Array) -> Array:
    return np.stack([rows, -rows], axis=1).reshape(-1, *rows.shape[1:])


def _difference(name: str, source: str, shape: Shape) -> Dense | Conv:
    """Return the layer that takes every second value from the one before it."""
    channels = shape[0]
    if len(shape) == 1:
        weight = np.kron(np.eye(channels), np.array([[1.0, -1.0]]))
        return Dense(name=name, inputs=(source,), weight=weight)
    weight = np.tile(np.array([1.0, -1.0]), channels).reshape(channels, 2, 1, 1)
    return Conv(name=name, inputs=(source,), weight=weight, groups=channels)
