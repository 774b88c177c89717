"""The two ends of a twin: samples into integers, and sums into what the model returns.

Both are computed in float64, as `toolchain.ir.reference` does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.twin.signals import Signal
from targets.twin.sums import count_type
from targets.twin.writer import ModelWriter
from toolchain.errors import InputDataError
from toolchain.ir.ann import SMOOTH_ON_HOST, HostOp, Input, Output
from toolchain.ir.node import IndexArray, Shape
from toolchain.ir.reference import encode


def input_signal(entry: Input, value: str) -> Signal:
    """Return what the network reads, under the name ``value``."""
    if entry.encoding is None:
        raise ValueError(f"{entry.name} has no encoding")
    return Signal(value, entry.shape, min(entry.encoding.low, 0), max(entry.encoding.high, 0))


def signal_type(signal: Signal) -> npt.DTypeLike:
    """Return the element type of a signal."""
    return count_type(signal.high - signal.low)


def decoded_samples(entry: Input, encoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples ``(batch, *source_shape)`` that an input encodes as ``encoded``.

    Raises:
        InputDataError: None of the model's type are.
    """
    if entry.encoding is None:
        raise ValueError(f"{entry.name} has no encoding")
    flat = encoded.reshape(len(encoded), -1)
    x = np.zeros((len(encoded), int(np.prod(entry.source_shape))))
    order = np.arange(flat.shape[1]) if entry.order is None else entry.order.ravel()
    x[:, order[order >= 0]] = flat[:, order >= 0] * entry.encoding.scale
    if np.dtype(entry.dtype).kind in "iu":
        x = np.rint(x)
    samples = x.reshape(len(x), *entry.source_shape).astype(entry.dtype)
    if not np.array_equal(encode(dataclasses.replace(entry, offset=0), samples), encoded):
        raise InputDataError(
            f"no samples of type {entry.dtype} are encoded as these integers", node=entry.name
        )
    return samples


def emit_input(writer: ModelWriter, entry: Input, sample: str, value: str) -> Signal:
    """Write how samples become integers; ``sample`` is the model's input."""
    signal, code = input_signal(entry, value), entry.encoding
    if code is None:
        raise ValueError(f"{entry.name} has no encoding")
    x = writer.cast(sample, np.float64, f"{value}/float64")
    scale = writer.constant(f"{value}/scale", code.scale, np.float64)
    x = writer.add("Div", [x, scale], f"{value}/steps")
    x = writer.add("Round", [x], f"{value}/whole")
    limits = [writer.shared(limit, np.float64) for limit in (code.low, code.high)]
    x = writer.add("Clip", [x, *limits], f"{value}/limited")
    if signal.zero_point:
        shift = writer.shared(signal.zero_point, np.float64)
        x = writer.add("Add", [x, shift], f"{value}/unsigned")
    x = writer.cast(x, signal_type(signal), f"{value}/integers")
    emit_order(
        writer,
        Signal(x, entry.source_shape, signal.low, signal.high),
        entry.order,
        entry.shape,
        value,
    )
    return signal


def emit_order(
    writer: ModelWriter, source: Signal, order: IndexArray | None, shape: Shape, value: str
) -> None:
    """Write a signal in another order and shape, 0 where the order has -1."""
    x = source.value
    if order is not None:
        x = writer.reshaped(x, [-1], f"{value}/flat")
        size = int(np.prod(source.shape))
        if order.min() < 0:
            end = writer.constant(f"{value}/end", [0, 0, 0, 1], np.int64)
            zero = writer.shared(source.zero_point, signal_type(source))
            x = writer.add("Pad", [x, end, zero], f"{value}/padded")
        chosen = np.where(order.ravel() < 0, size, order.ravel())
        indices = writer.constant(f"{value}/order", chosen, np.int64)
        x = writer.add("Gather", [x, indices], f"{value}/ordered", axis=1)
    writer.reshaped(x, shape, value)


def emit_output(writer: ModelWriter, node: Output, source: str, value: str) -> None:
    """Write what the host makes of the network's sums, as the model's output ``value``."""
    x = writer.cast(source, np.float64, f"{value}/float64")
    scale = writer.constant(f"{value}/scale", node.scale, np.float64)
    x = writer.add("Mul", [x, scale], f"{value}/scaled")
    offset = writer.constant(f"{value}/offset", node.offset, np.float64)
    x = writer.add("Add", [x, offset], f"{value}/decoded")
    if node.order is not None:
        x = writer.reshaped(x, [-1], f"{value}/flat")
        indices = writer.constant(f"{value}/order", node.order.ravel(), np.int64)
        x = writer.add("Gather", [x, indices], f"{value}/ordered", axis=1)
    shape = node.shape
    x = writer.reshaped(x, shape, f"{value}/shaped")
    for number, step in enumerate(node.tail):
        x = _emit_step(writer, step, x, shape, f"{value}/tail{number + 1}")
        shape = step.output_shape(shape)
    writer.cast(x, node.dtype, value)


_OPERATORS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "erf": "Erf",
    "softmax": "Softmax",
    "log-softmax": "LogSoftmax",
}


def _emit_step(writer: ModelWriter, step: HostOp, x: str, shape: Shape, value: str) -> str:
    if step.function == "argmax":
        axis = 1 if step.axis is None else step.axis + 1
        keep = step.keep_axis and step.axis is not None
        return writer.add("ArgMax", [x], value, axis=axis, keepdims=int(keep))
    if step.function == "affine":
        factor = writer.constant(f"{value}/factor", step.factor, np.float64)
        shift = writer.constant(f"{value}/shift", step.shift, np.float64)
        return writer.add(
            "Add", [writer.add("Mul", [x, factor], f"{value}/scaled"), shift], value
        )
    if step.function == "round":
        low = writer.constant(f"{value}/low", step.low, np.float64)
        high = writer.constant(f"{value}/high", step.high, np.float64)
        rounded = writer.add("Round", [x], f"{value}/rounded")
        return writer.add("Clip", [rounded, low, high], value)
    operator = _OPERATORS[step.function]
    if step.function in ("relu", *SMOOTH_ON_HOST):
        return writer.add(operator, [x], value)
    if step.axis is not None:
        return writer.add(operator, [x], value, axis=step.axis + 1)
    flat = writer.reshaped(x, [-1], f"{value}/flat")
    flat = writer.add(operator, [flat], f"{value}/all", axis=1)
    return writer.reshaped(flat, shape, value)
