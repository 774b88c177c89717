"""Sums and differences; products and quotients with constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.curve import X
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import added, scaled
from toolchain.ops._curves import curved, product

_DIVIDES = "divides by what the network computes; only a constant divisor is supported"
_DIVIDE_ELSEWHERE = "multiply by a constant, or divide outside the network"


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

    - One operand is a constant that broadcasts to the other, or both are functions of the same
      value, as in `x * Sigmoid(x)`: then it is part of a smooth activation.
    """
    if not _joins(call):
        return _affine(call, scale=_constant(call))
    made = product(call, call.value(0), call.value(1))
    if made is None:
        call.refuse(
            "multiplies two values that the network computes; one operand must be a constant, "
            "or both functions of the same value",
            "a spike cannot scale another: train without gates and attention, or take "
            "--partial",
        )
    return made


@IMPORTERS.register("Div")
@versions(7, 13, 14)
def import_div(call: Call) -> Value:
    """Becomes a scale, which is merged into the layer before or after it.

    - The divisor is a constant without zeros that broadcasts to the dividend, or both are
      functions of the same value, as in `x / (1 + Exp(-x))`: then it is part of a smooth
      activation.
    """
    if call.value_position() == 1:
        return _inverted(call)
    made = (
        product(call, call.value(0), call.value(1), is_quotient=True) if _joins(call) else None
    )
    if made is not None:
        return made
    call.require(not _joins(call), _DIVIDES, _DIVIDE_ELSEWHERE)
    constant = _constant(call)
    call.require(bool(np.all(constant)), "divides by zero")
    return _affine(call, scale=1 / constant.astype(np.float64))


def _inverted(call: Call) -> Value:
    """Return one number divided by a value, as part of a smooth activation."""
    dividend = call.constant(0)
    call.require(dividend.size == 1, _DIVIDES, _DIVIDE_ELSEWHERE)
    return curved(call, call.value(1), X.then("reciprocal").scaled(float(dividend.item())))


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
