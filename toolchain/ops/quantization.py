"""Quantizers of already quantized models: the staircases that neurons compute exactly.

Between a `QuantizeLinear` and a `DequantizeLinear` a value is the integer that ONNX has there,
zero point included. So what lies between them, a pool or a reshape, needs no other meaning.
"""

from __future__ import annotations

import re

import numpy as np
import onnx

from toolchain.ir.ann import Affine
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import dtype_name
from toolchain.ops._steps import emit_staircase


@IMPORTERS.register("QuantizeLinear")
@versions(10, 13, 19, 21, 23, 24, 25, 28)
def import_quantize_linear(call: Call) -> Value:
    """Becomes spiking neurons with the thresholds of the model; the host does it at both ends.

    - The scale is above 0, one for the tensor or one for each channel.
    - The zero point is one integer of 4 to 16 bits.
    """
    value = call.host_value()
    scale = _scale(call, value)
    call.integer("saturate", 1)  # of types with 8-bit floats only, as are the next two
    call.integer("precision", 0)
    zero, (low, high) = _zero_point(call), _limits(call)
    low, high = low - zero, high - zero
    if call.builder.on_host(value) is not None:
        value = _steps_on_host(call, value, scale)
        value = call.on_host(value, "round", low=low, high=high)
        return call.on_host(value, "affine", suffix="zero", shift=zero) if zero else value
    node = call.emit(Affine, value.node, suffix="steps", scale=call.beside(value, 1 / scale))
    node = emit_staircase(call, value.moved_to(node), low=low, high=high, tensor_zero=zero)
    if zero:
        node = call.emit(Affine, node, suffix="zero", shift=np.array(float(zero)))
    return value.moved_to(node)


@IMPORTERS.register("DequantizeLinear")
@versions(10, 13, 19, 21, 23, 24, 25, 28)
def import_dequantize_linear(call: Call) -> Value:
    """Becomes a scale, which is merged into the layer before or after it.

    - The scale is above 0, one for the tensor or one for each channel.
    - The zero point is one integer of 4 to 16 bits.
    """
    value = call.passed_value()
    scale, zero = _scale(call, value), _zero_point(call)
    if call.builder.on_host(value) is not None:
        call.require(scale.size == 1, "has a scale for each channel of what the host computes")
        factor = scale.item()
        return call.on_host(value, "affine", factor=factor, shift=-factor * zero)
    node = call.emit(
        Affine,
        value.node,
        scale=call.beside(value, scale),
        shift=call.beside(value, -scale * zero),
    )
    return value.moved_to(node)


@IMPORTERS.register("Round")
@versions(11, 22)
def import_round(call: Call) -> Value:
    """Becomes spiking neurons that count whole steps, with the limits of the `Clip` behind it.

    - A `Clip` with whole limits follows.
    """
    value = call.value()
    return value.moved_to(emit_staircase(call, value))


@IMPORTERS.register("Floor")
@versions(6, 13)
def import_floor(call: Call) -> Value:
    """Becomes spiking neurons that count whole steps, with the limits of the `Clip` behind it.

    - A `Clip` with whole limits follows.
    """
    value = call.value()
    return value.moved_to(emit_staircase(call, value, rounds_down=True))


def _steps_on_host(call: Call, value: Value, scale: Array) -> Value:
    call.require(scale.size == 1, "has a scale for each channel of what the host computes")
    return call.on_host(value, "affine", suffix="steps", factor=1 / scale.item())


def _scale(call: Call, value: Value) -> Array:
    """Return the scale as it broadcasts to the value with its batch axis."""
    scale = call.constant(1).astype(np.float64)
    call.integer("output_dtype", 0)  # the inferred type says it
    call.require(
        bool(np.all(scale > 0)),
        f"has a scale of {scale.min():g}; it must be above 0",
        "calibrate on real samples when quantizing: the tensor was constant",
    )
    axis, blocks = call.integer("axis", 1), call.integer("block_size", 0)
    if scale.size == 1:
        return scale.reshape(())
    rank = len(value.shape) + 1
    axis %= rank
    call.require(
        scale.ndim == 1 and axis > 0 and not blocks and len(scale) == value.shape[axis - 1],
        f"has a scale of shape {scale.shape} for axis {axis} of {(1, *value.shape)}; one "
        "scale, or one for each channel, is supported",
        "quantize activations per tensor",
    )
    return scale.reshape([-1 if i == axis else 1 for i in range(rank)])


def _zero_point(call: Call) -> int:
    """Return the zero point; 0 where it is left out."""
    if not call.has(2):
        return 0
    zero = call.raw_constant(2)
    call.require(
        zero.size > 0 and zero.dtype.kind != "f" and bool(np.all(zero == zero.flat[0])),
        "has different zero points for its channels, or none of integers; one is supported",
        "quantize activations to uint8, per tensor",
    )
    return int(zero.flat[0])


def _limits(call: Call) -> tuple[int, int]:
    """Return the least and largest integer of the type quantized to."""
    asked = call.integer("output_dtype", 0) or onnx.TensorProto.UINT8
    dtype = str(call.raw_constant(2).dtype) if call.has(2) else dtype_name(asked)
    match = re.fullmatch(r"(u?)int(4|8|16)", dtype)
    if match is None:
        call.refuse(
            f"quantizes to {dtype}; integers of 4, 8 and 16 bits are supported",
            "quantize activations to uint8",
        )
    bits = int(match[2])
    return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
