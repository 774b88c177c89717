"""Largest and smallest of several values: what one is above the other, from a rectifier."""

from __future__ import annotations

import functools

import numpy as np

from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import added, scaled
from toolchain.ops._rectifiers import at_least, at_most, rectified


@IMPORTERS.register("Max")
@versions(6, 8, 12, 13)
def import_max(call: Call) -> Value:
    """Becomes neurons that carry by how much a value is above another, or above a constant.

    - Constants broadcast to the values.
    - At most two operands are no constants.
    """
    return _extreme(call, 1.0)


@IMPORTERS.register("Min")
@versions(6, 8, 12, 13)
def import_min(call: Call) -> Value:
    """Becomes neurons that carry by how much a value is below another, or below a constant.

    - Constants broadcast to the values; a rectifier before one saturates at it.
    - At most two operands are no constants.
    """
    return _extreme(call, -1.0)


def _extreme(call: Call, sign: float) -> Value:
    """Return the largest operand, the smallest for a ``sign`` of -1.

    With s the sign: ``b + s max(s (a - b), 0)``.
    """
    values, limit = _operands(call, np.maximum if sign > 0 else np.minimum)
    if limit is not None:
        return (at_least if sign > 0 else at_most)(call, values[0], limit)
    if len(values) == 1:
        return call.pass_on(values[0])
    for value in values:
        call.builder.pin(value.node)  # each is read twice
    first, second = values
    rest = added(call, [scaled(call, first, sign), scaled(call, second, -sign)], suffix="gap")
    beyond = scaled(call, rectified(call, rest, suffix="beyond"), sign)
    return added(call, [second, beyond])


def _operands(call: Call, joined: np.ufunc) -> tuple[list[Value], Array | None]:
    """Return the operands that depend on the sample, and what the constants come to."""
    places = range(len(call.inputs))
    values = [call.value(i) for i in places if isinstance(call.inputs[i], Value)]
    constants = [call.constant(i) for i in places if not isinstance(call.inputs[i], Value)]
    call.require(
        len(values) == 1 or (len(values) == 2 and not constants),
        f"has {len(values)} operands that the network computes and {len(constants)} constants; "
        "two values, or one and constants are supported",
        "write it as several nodes",
    )
    return values, functools.reduce(joined, constants) if constants else None
