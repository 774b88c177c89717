"""Several values in one layout, and parts of a value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toolchain.ir.ann import Add, Affine, Rearrange
from toolchain.ir.node import Array, IndexArray, Shape
from toolchain.ops._call import Call, as_planes, broadcasts
from toolchain.ops._layout import Value, axes_in_node


def aligned(call: Call, values: Sequence[Value]) -> tuple[list[str], tuple[int, ...] | None]:
    """Return nodes that have the values in the same layout.

    Args:
        call: That reads them.
        values: With the same number of axes.

    Returns:
        The nodes' names; and for each axis of a value the axis of its node that it is, with
        three axes (a missing middle one is counted), `None` where the nodes are flat.
    """
    axes = layout(call, values)
    if axes is None:
        return [call.plain(value, (value.size,)) for value in values], None
    if _lie_so(call, values, axes):
        return [value.node for value in values], axes
    return [call.plain(value, as_planes(value.shape)) for value in values], axes


def layout(call: Call, values: Sequence[Value]) -> tuple[int, ...] | None:
    """Return the axes that `aligned` will give."""
    if len(values[0].shape) not in (2, 3):
        return None
    first = values[0].reshaped(as_planes(values[0].shape))
    found = axes_in_node(first, call.builder.shape(first.node))
    return next((axes for axes in found if _lie_so(call, values, axes)), (0, 1, 2))


def _lie_so(call: Call, values: Sequence[Value], axes: tuple[int, ...]) -> bool:
    wide = [value.reshaped(as_planes(value.shape)) for value in values]
    return all(axes in axes_in_node(v, call.builder.shape(v.node)) for v in wide)


def added(call: Call, values: Sequence[Value], *, suffix: str = "") -> Value:
    """Return the sum of values, the smaller ones repeated to ``call.output_shape``.

    Args:
        call: That adds them.
        values: One or more.
        suffix: Of the node's name, where a call makes several.
    """
    shape = call.output_shape
    values = [_repeated(call, *place, shape) for place in enumerate(values, 1)]
    if len(values) == 1:
        return call.pass_on(values[0])
    nodes, axes = aligned(call, values)
    node = call.emit(Add, *nodes, suffix=suffix)
    return Value(node, shape) if axes is None else call.view(node, axes, shape)


def scaled(call: Call, value: Value, scale: float) -> Value:
    """Return a value times a number."""
    if scale == 1:
        return value
    node = call.emit(Affine, value.node, suffix="scaled", scale=np.array(scale))
    return value.moved_to(node)


def taken(call: Call, value: Value, index: IndexArray, *, suffix: str = "") -> Value:
    """Return chosen elements of a value.

    Args:
        call: That chooses.
        value: What it chooses from.
        index: Into the flat value, in the shape of the result; -1 gives a zero.
        suffix: Of the node's name, where a call makes several.
    """
    flat = value.indices().ravel()
    order = np.where(index < 0, -1, flat[index])
    shape = as_planes(index.shape) if index.ndim in (2, 3) else (index.size,)
    axes = _kept_axes(call, value, index)
    if axes is None:
        node = call.emit(Rearrange, value.node, suffix=suffix, shape=shape, order=order.ravel())
        return Value(node, index.shape)
    place = tuple(int(i) for i in np.argsort(axes))
    turned = order.reshape(shape).transpose(place)
    node = call.emit(
        Rearrange, value.node, suffix=suffix, shape=turned.shape, order=turned.ravel()
    )
    return call.view(node, axes, index.shape)


def _kept_axes(call: Call, value: Value, index: IndexArray) -> tuple[int, ...] | None:
    """Return where the axes of a value are in its node, if those of the result can be there."""
    if len(value.shape) not in (2, 3) or index.ndim != len(value.shape):
        return None
    wide = value.reshaped(as_planes(value.shape))
    found = axes_in_node(wide, call.builder.shape(value.node))
    return found[0] if found else None


def _repeated(call: Call, position: int, value: Value, shape: Shape) -> Value:
    if value.shape == shape:
        return value
    call.require(
        len(value.shape) == len(shape),
        f"adds values of shapes {value.shape} and {shape}, so that the batch axis of one meets "
        "an axis of the other",
        "reshape the smaller one to as many axes",
    )
    call.require(
        broadcasts(value.shape, shape),
        f"adds values of shapes {value.shape} and {shape}",
    )
    index: Array = np.arange(math.prod(value.shape)).reshape(value.shape)
    return taken(call, value, np.broadcast_to(index, shape), suffix=f"repeat{position}")
