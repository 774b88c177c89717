"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import broadcasts
from toolchain.ops._switch import switch


@IMPORTERS.register("Gemm")
@versions(7, 9, 11, 13)
def import_gemm(call: Call) -> Value:
    """Becomes a dense layer with bias, `alpha * x @ B + beta * C`.

    - `B` and `C` are constants; `C` is one row.
    - `transA` is 0.
    """
    call.require(
        call.integer("transA", 0) == 0,
        "has transA=1; only transA=0 keeps the batch axis first",
        "transpose the activations before the layer when exporting",
    )
    value = call.value()
    weight = call.constant(1)
    if not switch(call, "transB", default=False):
        weight = weight.T
    return _dense(call, value, _scaled(weight, call.number("alpha", 1.0)), _row(call))


@IMPORTERS.register("MatMul")
@versions(1, 9, 13)
def import_matmul(call: Call) -> Value:
    """Becomes a dense layer without bias, or a convolution with a kernel of one element.

    - The right operand is a constant matrix.
    - The left one is `(batch, N)`, or has one or two more axes: each of their positions is
      treated alike.
    """
    value = call.value()
    call.require(
        not isinstance(call.inputs[1], Value),
        "multiplies two values that the network computes; the right one must be a constant",
        "a spike cannot scale another: train without attention, or take --partial",
    )
    weight = call.constant(1)
    call.require(
        weight.ndim == 2,
        f"has a right operand of shape {weight.shape}; a matrix is supported",
    )
    rows = math.prod(value.shape[:-1])
    call.require(
        rows == 1 or len(value.shape) in (2, 3),
        f"applies one matrix to each of {rows} rows of a sample {value.shape}; up to 2 axes of "
        "rows are supported",
        "merge axes before the layer",
    )
    return _dense(call, value, weight.T) if rows == 1 else _point(call, value, weight.T)


def _point(call: Call, value: Value, weight: Array) -> Value:
    """Return what a matrix ``(out, in)`` makes of the last axis, at every position."""
    node, axes = call.spatial(value, tuple(range(len(value.shape) - 1)))
    kernel = np.ascontiguousarray(weight)[:, :, None, None]
    return call.view(call.emit(Conv, node, weight=kernel), axes, call.output_shape)


def _dense(call: Call, value: Value, weight: Array, bias: Array | None = None) -> Value:
    source = call.plain(value, (value.size,))
    fields: dict[str, Any] = {} if bias is None else {"bias": bias}
    node = call.emit(Dense, source, weight=np.ascontiguousarray(weight), **fields)
    return Value(node, call.output_shape)


def _row(call: Call) -> Array | None:
    """Return ``beta * C`` as ``(out,)``."""
    factor = call.number("beta", 1.0)
    if not call.has(2):
        return None
    bias = call.constant(2)
    call.require(
        broadcasts(bias.shape, (1, *call.output_shape)),
        f"has C of shape {bias.shape}, which does not broadcast to {(1, *call.output_shape)}",
    )
    return _scaled(np.broadcast_to(bias, (1, *call.output_shape))[0].copy(), factor)


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1 else array.astype(np.float64) * factor
