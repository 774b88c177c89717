"""Sums and differences; products and quotients with constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import added, scaled


@IMPORTERS.register("Add")
@versions(7, 13, 14)
def import_add(call: Call) -> Value:
    """Becomes a shift, or a sum: synapses of several layers into the same neurons.

    - Operands broadcast to each other.
    """
    if _joins(call):
        return added(call, [call.value(0), call.value(1)])
    return _affine(call, shift=_constant(call))


@IMPORTERS.register("Sub")
@versions(7, 13, 14)
def import_sub(call: Call) -> Value:
    """Becomes a shift, or a sum; with a change of sign.

    - Operands broadcast to each other.
    """
    if _joins(call):
        return added(call, [call.value(0), scaled(call, call.value(1), -1.0)])
    constant = _constant(call)
    if call.value_position() == 0:
        return _affine(call, shift=-constant)
    return _affine(call, scale=np.array(-1.0), shift=constant)


@IMPORTERS.register("Neg")
@versions(6, 13)
def import_neg(call: Call) -> Value:
    """Becomes a scale of -1, which is merged into the layer before or after it."""
    value = call.value()
    return value.moved_to(call.emit(Affine, value.node, scale=np.array(-1.0)))


@IMPORTERS.register("Mul")
@versions(7, 13, 14)
def import_mul(call: Call) -> Value:
    """Becomes a scale, which is merged into the layer before or after it.

    - One operand is a constant that broadcasts to the other.
    """
    call.require(
        not _joins(call),
        "multiplies two values that the network computes; one operand must be a constant",
        "a spike cannot scale another: train without gates and attention, or run this part "
        "on the host",
    )
    return _affine(call, scale=_constant(call))


@IMPORTERS.register("Div")
@versions(7, 13, 14)
def import_div(call: Call) -> Value:
    """Becomes a scale, which is merged into the layer before or after it.

    - The divisor is a constant without zeros that broadcasts to the dividend.
    """
    call.require(
        call.value_position() == 0,
        "divides by what the network computes; only a constant divisor is supported",
        "multiply by a constant, or divide outside the network",
    )
    constant = _constant(call)
    call.require(bool(np.all(constant)), "divides by zero")
    return _affine(call, scale=1 / constant.astype(np.float64))


def _joins(call: Call) -> bool:
    """Tell whether both operands are computed from the sample."""
    return all(isinstance(operand, Value) for operand in call.inputs)


def _constant(call: Call) -> Array:
    return call.constant(1 - call.value_position())


def _affine(call: Call, **parameters: Array) -> Value:
    value = call.value(call.value_position())
    fields: dict[str, Any] = {
        name: call.beside(value, array) for name, array in parameters.items()
    }
    return value.moved_to(call.emit(Affine, value.node, **fields))
