"""Sums, differences, products and quotients with constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions


@IMPORTERS.register("Add")
@versions(7, 13, 14)
def import_add(call: Call) -> Value:
    """Becomes a shift, which is merged into the layer before or after it.

    - One operand is a constant that broadcasts to the other.
    """
    return _affine(call, shift=_constant(call))


@IMPORTERS.register("Sub")
@versions(7, 13, 14)
def import_sub(call: Call) -> Value:
    """Becomes a shift, and a change of sign for `constant - x`.

    - One operand is a constant that broadcasts to the other.
    """
    constant = _constant(call)
    if call.value_position() == 0:
        return _affine(call, shift=-constant)
    return _affine(call, scale=np.array(-1.0), shift=constant)


@IMPORTERS.register("Mul")
@versions(7, 13, 14)
def import_mul(call: Call) -> Value:
    """Becomes a scale, which is merged into the layer before or after it.

    - One operand is a constant that broadcasts to the other.
    """
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


def _constant(call: Call) -> Array:
    return call.constant(1 - call.value_position())


def _affine(call: Call, **parameters: Array) -> Value:
    value = call.value(call.value_position())
    fields: dict[str, Any] = {
        name: call.beside(value, array) for name, array in parameters.items()
    }
    return value.moved_to(call.emit(Affine, value.node, **fields))
