"""Say with layers what is left between populations.

A synapse is all that there is between two populations, so a scale, a sum over windows, and a
value that a sum or an activation reads directly become layers: convolutions with one weight
for each value, dense ones with a diagonal. So does an input that has to be rearranged on the
chip, because only spikes can be relayed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Add, Affine, Conv, Dense, Input, Output, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.passes.fold_affine import is_per_channel
from toolchain.rewriting import Context, compiler_pass

_LAYERS = (Dense, Conv)


@compiler_pass("arrange-layers", phase=Phase.PREPARE, after=("copy-sums",))
def arrange_layers(graph: Graph, _: Context) -> Graph:
    """Replace what no other pass could fold; add layers where activations have none.

    Scales come first, because the sum over windows before one can be composed with its layer.
    """
    scales = [node for node in graph.of_type(Affine) if _can_be_layer(graph, node)]
    if scales:
        return graph.swap(*(_scaling(node, graph.shapes[node.name]) for node in scales))
    for node in graph:
        shape = graph.shapes[node.name]
        if isinstance(node, SumPool):
            graph = graph.swap(_summing(node, shape[0]))
        elif isinstance(node, Add):
            graph = _with_layers(graph, node, shape)
        elif isinstance(node, Rearrange) and isinstance(graph.producer(node), Input):
            if node.order is not None or len(node.shape) != 1:
                graph = _in_planes(graph, node.inputs[0])
                graph = _with_skip(graph, node, 0, graph.shapes[node.inputs[0]])
        elif isinstance(node, (Relu, Smooth, LmHt, Staircase, Output)):
            before = graph.producer(node)
            is_pooled = isinstance(node, Smooth) and graph.pooled_sum(node) is not None
            if not is_pooled and not isinstance(before, (*_LAYERS, Add, Affine)):
                graph = _with_skip(graph, node, 0, graph.shapes[before.name])
    return graph


def _with_layers(graph: Graph, node: Add, shape: Shape) -> Graph:
    """Return the graph with every input of a sum a layer."""
    for place, name in enumerate(node.inputs):
        if not isinstance(graph[name], (*_LAYERS, Add, Affine)):
            graph = _with_skip(graph, graph[node.name], place, shape)
    return graph


def _in_planes(graph: Graph, name: str) -> Graph:
    """Return the graph with an input that layers can read: ``(N,)`` or ``(C, H, W)``.

    Only rearrangements read one of another shape, and they count values one by one.
    """
    entry, shape = graph[name], graph.shapes[name]
    if len(shape) in (1, 3) or not isinstance(entry, Input):
        return graph
    return graph.swap(dataclasses.replace(entry, shape=(shape[0], 1, int(np.prod(shape[1:])))))


def _with_skip(graph: Graph, reader: Node, place: int, shape: Shape) -> Graph:
    source = reader.inputs[place]
    skip = _diagonal(graph.unused(f"{reader.name}/skip"), np.ones(()), np.zeros(()), shape)
    skip = dataclasses.replace(skip, inputs=(source,), origin=reader.origin)
    inputs = (*reader.inputs[:place], skip.name, *reader.inputs[place + 1 :])
    reader = dataclasses.replace(reader, inputs=inputs)
    return graph.insert_before(reader.name, skip).swap(reader)


def _can_be_layer(graph: Graph, node: Affine) -> bool:
    shape = graph.shapes[node.name]
    return len(shape) == 1 or (len(shape) == 3 and is_per_channel(node.scale))


def _scaling(node: Affine, shape: Shape) -> Node:
    layer = _diagonal(node.name, node.scale, node.shift, shape)
    return dataclasses.replace(layer, inputs=node.inputs, origin=node.origin)


def _diagonal(name: str, scale: Array, shift: Array, shape: Shape) -> Dense | Conv:
    """Return the layer that scales and shifts each value."""
    scale = np.broadcast_to(np.ravel(scale), shape[0])
    if len(shape) == 1:
        return Dense(name=name, weight=np.diag(scale), bias=shift)
    weight = scale.reshape(-1, 1, 1, 1)
    return Conv(name=name, weight=weight, bias=shift, groups=shape[0])


def _summing(pool: SumPool, channels: int) -> Conv:
    return Conv(
        name=pool.name,
        inputs=pool.inputs,
        origin=pool.origin,
        weight=np.ones((channels, 1, *pool.kernel), np.float32),
        stride=pool.stride,
        padding=pool.padding,
        groups=channels,
    )
