"""Operators that change the shape or the order of values and compute nothing."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import taken
from toolchain.ops._layout import simplified


@IMPORTERS.register("Flatten")
@versions(1, 9, 11, 13, 21, 23, 24, 25)
def import_flatten(call: Call) -> Value:
    """Changes how values are numbered; no operation on the chip.

    - `axis` is 1, or the axes it merges with the batch axis have length 1.
    """
    value = call.passed_value()
    axis = call.integer("axis", 1)
    axis = axis + len(value.shape) + 1 if axis < 0 else axis
    if axis == 0 or math.prod(value.shape[: axis - 1]) != 1:
        _refuse_batch(call, f"has axis={axis}")
    return call.pass_on(value.reshaped(call.output_shape))


@IMPORTERS.register("Reshape")
@versions(5, 13, 14, 19, 21, 23, 24, 25)
def import_reshape(call: Call) -> Value:
    """Changes how values are numbered; no operation on the chip.

    - `shape` is a constant and keeps the batch axis.
    """
    call.integer("allowzero", 0)  # the inferred output shape says it
    call.raw_constant(1)
    return call.pass_on(call.passed_value().reshaped(call.output_shape))


@IMPORTERS.register("Squeeze")
@versions(1, 11, 13, 21, 23, 24, 25)
def import_squeeze(call: Call) -> Value:
    """Removes axes of length 1; no operation on the chip.

    - `axes` are given and do not have the batch axis.
    """
    value = call.passed_value()
    axes = call.axes(1, len(value.shape) + 1)
    call.require(
        axes is not None,
        "has no axes, so it removes the batch axis too when that has length 1",
        "give it the axes to remove",
    )
    if 0 in (axes or ()):
        _refuse_batch(call, "removes axis 0")
    return call.pass_on(value.reshaped(call.output_shape))


@IMPORTERS.register("Unsqueeze")
@versions(1, 11, 13, 21, 23, 24, 25)
def import_unsqueeze(call: Call) -> Value:
    """Adds axes of length 1; no operation on the chip.

    - `axes` do not have 0, the batch axis.
    """
    value = call.passed_value()
    if 0 in (call.axes(1, len(call.output_shape) + 1) or ()):
        _refuse_batch(call, "adds axis 0")
    return call.pass_on(value.reshaped(call.output_shape))


@IMPORTERS.register("Transpose")
@versions(1, 13, 21, 23, 24, 25)
def import_transpose(call: Call) -> Value:
    """Changes the order of values: of the network's input, or folded into the next dense layer.

    - `perm` keeps the batch axis first.
    """
    value = call.passed_value()
    rank = len(value.shape) + 1
    permutation = call.integers("perm") or tuple(reversed(range(rank)))
    call.require(
        sorted(permutation) == list(range(rank)),
        f"has perm={list(permutation)}, which does not order {rank} axes",
    )
    if permutation[0] != 0:
        _refuse_batch(call, f"has perm={list(permutation)}")
    return call.pass_on(value.transposed(tuple(axis - 1 for axis in permutation[1:])))


@IMPORTERS.register("Gather")
@versions(1, 11, 13)
def import_gather(call: Call) -> Value:
    """Changes the order of values, chooses or repeats them: what `Slice` and `Tile` become.

    - `indices` are a constant, one or a vector; `axis` is not 0, the batch axis.
    """
    value = call.passed_value()
    axis = call.integer("axis", 0) % (len(value.shape) + 1)
    if axis == 0:
        _refuse_batch(call, "has axis=0")
    indices, length = call.raw_constant(1), value.shape[axis - 1]
    positions = np.where(indices < 0, indices + length, indices)
    call.require(
        indices.ndim < 2 and bool(np.all((positions >= 0) & (positions < length))),
        f"has indices of shape {indices.shape} from {np.min(indices)} to {np.max(indices)}; "
        f"one or a vector from {-length} to {length - 1} is supported",
        "gather along one axis, within its length",
    )
    if indices.ndim and np.array_equal(np.sort(positions), np.arange(length)):
        order = value.indices().take(positions, axis=axis - 1)
        return call.pass_on(Value(value.node, value.shape, simplified(order.ravel())))
    value = call.compared_value()
    index = np.arange(value.size).reshape(value.shape).take(positions, axis=axis - 1)
    return taken(call, value, index)


def _refuse_batch(call: Call, problem: str) -> NoReturn:
    call.refuse(
        f"{problem}; the batch axis must stay the first",
        "rearrange within the sample only",
    )
