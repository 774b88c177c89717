r"""Distribute concatenations over what reads them.

A layer that reads several tensors side by side is a sum of layers that read one each,

.. math::
    W \begin{pmatrix} x_1 \\ x_2 \end{pmatrix} = W_1 x_1 + W_2 x_2,

and everything that treats channels apart (activations, normalizations, pools, convolutions in
as many groups) may as well treat the parts apart. Whatever else reads a concatenation gets a
sum of its parts, each at its own channels among zeros.
"""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import numpy as np

from toolchain.ir.ann import Add, Affine, Concat, Conv, Dense, MaxPool, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, IndexArray, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.passes.fold_affine import is_per_channel
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("distribute-concat", phase=Phase.PREPARE, after=("fold-rearrangement",))
def distribute_concat(graph: Graph, _: Context) -> Graph:
    """Remove or move every `Concat`; the phase repeats until there is none."""
    return rewrite_each(graph, Concat, _distribute)


def _distribute(graph: Graph, node: Concat) -> Graph:
    shapes = [graph.shapes[name] for name in node.inputs]
    for user in graph.users(node.name):
        if isinstance(user, Concat):
            graph = graph.swap(_flattened(user, node))
            continue
        parts = _parts(user, shapes)
        if parts is None:
            return _embedded(graph, node, shapes)
        graph = _with_parts(graph, node, user, parts)
    return graph.without(node.name)


def _flattened(user: Concat, node: Concat) -> Concat:
    flat = user.reading(node.name, *node.inputs)
    return dataclasses.replace(flat, origin=node.origin + user.origin)


def _with_parts(graph: Graph, node: Concat, user: Node, parts: list[Node]) -> Graph:
    """Return the graph with one of ``parts`` for each input of ``node`` instead of ``user``."""
    named: list[Node] = []
    for number, (part, source) in enumerate(zip(parts, node.inputs, strict=True), 1):
        name = graph.unused(f"{user.name}/part{number}")
        origin = user.origin
        named.append(dataclasses.replace(part, name=name, inputs=(source,), origin=origin))
    is_sum = (
        isinstance(user, (Dense, Conv))
        and parts[0].output_shape(graph.shapes[node.inputs[0]]) == graph.shapes[user.name]
    )
    joint = Add if is_sum else Concat
    joined = joint(
        name=user.name,
        inputs=tuple(part.name for part in named),
        origin=node.origin + user.origin,
    )
    return graph.insert_before(user.name, *named).swap(joined)


def _embedded(graph: Graph, node: Concat, shapes: list[Shape]) -> Graph:
    """Return the graph with a sum of the parts, each brought to its channels by a layer."""
    total, start, layers = graph.shapes[node.name][0], 0, list[Node]()
    for number, (source, shape) in enumerate(zip(node.inputs, shapes, strict=True), 1):
        weight = np.zeros((total, shape[0]), np.float32)
        weight[np.arange(start, start + shape[0]), np.arange(shape[0])] = 1
        start += shape[0]
        name = graph.unused(f"{node.name}/part{number}")
        layers.append(
            Dense(name=name, inputs=(source,), origin=node.origin, weight=weight)
            if len(shape) == 1
            else Conv(
                name=name,
                inputs=(source,),
                origin=node.origin,
                weight=weight[:, :, None, None],
            )
        )
    joined = Add(
        name=node.name, inputs=tuple(layer.name for layer in layers), origin=node.origin
    )
    return graph.insert_before(node.name, *layers).swap(joined)


@singledispatch
def _parts(user: Node, shapes: list[Shape]) -> list[Node] | None:
    """Return what ``user`` becomes for each part; `None` where it cannot be taken apart."""
    return None


@_parts.register
def _(user: Relu, shapes: list[Shape]) -> list[Node] | None:
    return [dataclasses.replace(user, tensor="", tensor_order=None) for _ in shapes]


@_parts.register
def _(user: Smooth, shapes: list[Shape]) -> list[Node] | None:
    return [user for _ in shapes]


@_parts.register
def _(user: LmHt, shapes: list[Shape]) -> list[Node] | None:
    return [dataclasses.replace(user, tensor="", tensor_order=None) for _ in shapes]


@_parts.register(MaxPool)
@_parts.register(SumPool)
def _(user: Node, shapes: list[Shape]) -> list[Node] | None:
    return [user for _ in shapes]


@_parts.register
def _(user: Rearrange, shapes: list[Shape]) -> list[Node] | None:
    if user.order is None and len(user.shape) == 1:
        return [dataclasses.replace(user, shape=(int(np.prod(shape)),)) for shape in shapes]
    if user.order is None or len(user.shape) != 3:
        return None
    return _planes(user, user.order.reshape(user.shape[0], -1), shapes)


def _planes(user: Rearrange, order: IndexArray, shapes: list[Shape]) -> list[Node] | None:
    """Return the rearrangement of each part, where none moves values between the parts."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    starts = np.cumsum([0, *sizes])
    part_of = np.searchsorted(starts, order, side="right") - 1
    owner = part_of.max(axis=1)
    is_apart = np.all((part_of == owner[:, None]) | (order < 0))
    if not is_apart or np.any(np.diff(owner) < 0) or set(owner) != set(range(len(shapes))):
        return None
    parts: list[Node] = []
    for number, start in enumerate(starts[:-1]):
        chosen = order[owner == number]
        own = np.where(chosen < 0, -1, chosen - start)
        shape = (len(own), *user.shape[1:])
        parts.append(dataclasses.replace(user, shape=shape, order=own.ravel()))
    return parts


@_parts.register
def _(user: Affine, shapes: list[Shape]) -> list[Node] | None:
    if len(shapes[0]) == 3 and not (is_per_channel(user.scale) and is_per_channel(user.shift)):
        return None
    starts = np.cumsum([0, *(shape[0] for shape in shapes)])

    def part(value: Array, number: int) -> Array:
        if np.ndim(value) == 0:
            return value
        return value[starts[number] : starts[number + 1]]

    return [
        dataclasses.replace(user, scale=part(user.scale, i), shift=part(user.shift, i))
        for i in range(len(shapes))
    ]


@_parts.register
def _(user: Dense, shapes: list[Shape]) -> list[Node] | None:
    return _columns(user, shapes)


@_parts.register
def _(user: Conv, shapes: list[Shape]) -> list[Node] | None:
    if user.groups == 1:
        return _columns(user, shapes)
    channels = [shape[0] for shape in shapes]
    if any(count % user.weight.shape[1] for count in channels):
        return None
    groups = [count // user.weight.shape[1] for count in channels]
    rows = len(user.weight) // user.groups
    starts = rows * np.cumsum([0, *groups])
    bias = user.bias_by_row
    return [
        dataclasses.replace(
            user,
            weight=user.weight[starts[i] : starts[i + 1]],
            bias=bias[starts[i] : starts[i + 1]],
            groups=groups[i],
        )
        for i in range(len(shapes))
    ]


def _columns(user: Dense | Conv, shapes: list[Shape]) -> list[Node]:
    """Return layers that read a part each; the first has the bias."""
    starts = np.cumsum([0, *(shape[0] for shape in shapes)])
    return [
        dataclasses.replace(
            user,
            weight=user.weight[:, starts[i] : starts[i + 1]],
            bias=np.zeros(()) if i else user.bias,
        )
        for i in range(len(shapes))
    ]
