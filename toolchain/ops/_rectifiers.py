"""Rectifiers and what is made of several of them."""

from __future__ import annotations

import math

import numpy as np

from toolchain.ir.ann import Add, Affine, Relu
from toolchain.ir.node import Array
from toolchain.ops._call import Call
from toolchain.ops._layout import Value, inverse


def rectified(
    call: Call, value: Value | None = None, *, maximum: float = math.inf, suffix: str = ""
) -> Value:
    """Return ``min(max(value, 0), maximum)``.

    Args:
        call: That asks for it; names the neurons by its output unless there is a ``suffix``.
        value: What is rectified; `None` for the first input.
        maximum: Upper limit, > 0.
        suffix: Of the node's name.
    """
    value = value or call.value()
    order = None if value.order is None else inverse(value.order)
    tensor = "" if suffix else call.output
    node = call.emit(
        Relu, value.node, suffix=suffix, maximum=maximum, tensor=tensor, tensor_order=order
    )
    return value.moved_to(node)


def moved(
    call: Call, value: Value, *, scale: float = 1.0, shift: float = 0.0, suffix: str = ""
) -> Value:
    """Return ``scale * value + shift``."""
    node = call.emit(
        Affine, value.node, suffix=suffix, scale=np.array(scale), shift=np.array(shift)
    )
    return value.moved_to(node)


def at_least(call: Call, value: Value, low: Array) -> Value:
    """Return ``max(value, low)``; ``low`` broadcasts to the ONNX value with its batch axis."""
    if not np.any(low):
        return rectified(call, value)
    limit = call.beside(value, low)
    above = call.emit(Affine, value.node, suffix="above", shift=-limit)
    rest = rectified(call, value.moved_to(above), suffix="rest")
    return value.moved_to(call.emit(Affine, rest.node, shift=limit))


def at_most(call: Call, value: Value, high: Array) -> Value:
    """Return ``min(value, high)``; ``high`` broadcasts as ``low`` of `at_least` does.

    A rectifier that nothing else reads saturates there.
    """
    is_one = high.size == 1 and high.ndim <= len(value.shape) + 1
    if is_one and high.item() > 0 and call.builder.limit(value, high.item(), call.output):
        return call.pass_on(value)
    limit, flip = call.beside(value, high), np.array(-1.0)
    below = call.emit(Affine, value.node, suffix="below", scale=flip, shift=limit)
    rest = rectified(call, value.moved_to(below), suffix="rest")
    return value.moved_to(call.emit(Affine, rest.node, scale=flip, shift=limit))


def two_slopes(call: Call, negative: Array) -> Value:
    """Return ``max(x, 0) + negative * min(x, 0)``: two populations, one for each sign.

    Args:
        call: Whose first input is ``x``.
        negative: Slope below 0; broadcasts to the ONNX value with its batch axis.
    """
    value = call.value()
    above = rectified(call, value, suffix="positive")
    below = rectified(call, moved(call, value, scale=-1.0, suffix="flip"), suffix="negative")
    scaled = call.emit(Affine, below.node, suffix="slope", scale=-call.beside(below, negative))
    return value.moved_to(call.emit(Add, above.node, scaled))
