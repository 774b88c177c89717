"""Neurons in the fast way: one quantized layer of ONNX, bytes in and bytes out.

``QLinearConv`` and ``QLinearMatMul`` sum in 32-bit integers, multiply by a scale, round and
saturate; `staircase` says when that is the count of a neuron. What is left to do is a limit at
the highest level. A matrix product has no bias, so its input gets columns of ones and of the
largest byte, and the bias is their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from targets.twin.joining import WEIGHT_MAX, Joined, Part, join
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.staircase import staircase_scale
from targets.twin.sums import pads
from targets.twin.writer import ModelWriter
from toolchain.bounds import Layer
from toolchain.ir.node import Array, IndexArray
from toolchain.ir.snn import Spiking

_SUM_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Quantized:
    """A population as one quantized layer.

    Attributes:
        joined: Its layers as one.
        bias: ``(C,)``, initial potential included and half the threshold taken off.
        scale: ``(C,)``, of each channel.
        ones: Columns of ones behind the inputs of a dense layer.
        tops: Columns of the largest byte behind those.
        largest: What no sum of the kernel exceeds in magnitude.
        largest_pair: What the sum of two products does not exceed; CPUs without instructions
            for dot products of bytes hold 32767.
    """

    joined: Joined
    bias: IndexArray
    scale: Array
    ones: int
    tops: int
    largest: int
    largest_pair: int


def quantize(
    neurons: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]
) -> Quantized | str:
    """Return a population as one quantized layer, or why it cannot be one."""
    if neurons.levels > BYTE_MAX:
        return f"{neurons.levels} levels, and a byte counts to {BYTE_MAX}"
    if neurons.windows > 1 and np.any(neurons.lateral):
        return "windows inhibit one another"
    if not all(signal.is_bytes for signal in signals):
        return "inputs of more than 8 bits"
    if len({type(layer) for layer in layers}) > 1 or len({s.zero_point for s in signals}) > 1:
        return "layers of different kinds"
    if signals[0].zero_point > WEIGHT_MAX + 1:
        return "inputs of more than 7 bits below zero"
    joined = join(layers, signals)
    if joined is None:
        return "layers whose kernels cannot be joined at a fair cost"
    bias = _bias(neurons, layers)
    if bias is None:
        return "biases of single neurons"
    threshold = _per_channel(neurons.threshold, len(bias))
    scale = staircase_scale(threshold, neurons.levels)
    if scale is None:
        return "a threshold that float32 is too short for"
    return _checked(joined, bias, scale, signals[0].zero_point)


def emit_quantized(
    writer: ModelWriter, form: Quantized, signals: Sequence[Signal], name: str
) -> str:
    """Write a population; what comes out is its counts, as yet without a limit."""
    joined = form.joined
    read = [
        _part(writer, f"{name}/part{i}", part, signals) for i, part in enumerate(joined.parts)
    ]
    source = read[0] if len(read) == 1 else writer.add("Concat", read, f"{name}/parts", axis=1)
    zero = signals[0].zero_point
    one, none = writer.shared(1, np.float32), writer.shared(0, np.uint8)
    scale = writer.constant(f"{name}/scale", form.scale, np.float32)
    balanced = writer.constant(f"{name}/zero", np.zeros(len(form.scale)), np.int8)
    if joined.weight.ndim == 2:
        for columns, byte in ((form.ones, 1 + zero), (form.tops, BYTE_MAX)):
            source = _with_columns(writer, f"{name}/{byte}", source, columns, byte)
        weight = np.concatenate([joined.weight, bias_columns(form, zero)], axis=1)
        weights = writer.constant(f"{name}/weight", weight.T, np.int8)
        names = [
            source,
            one,
            writer.shared(zero, np.uint8),
            weights,
            scale,
            balanced,
            one,
            none,
        ]
        return writer.add("QLinearMatMul", names, f"{name}/fired")
    weights = writer.constant(f"{name}/weight", joined.weight, np.int8)
    added = writer.constant(f"{name}/bias", form.bias, np.int32)
    names = [
        source,
        one,
        writer.shared(zero, np.uint8),
        weights,
        scale,
        balanced,
        one,
        none,
        added,
    ]
    return writer.add(
        "QLinearConv",
        names,
        f"{name}/fired",
        strides=list(joined.stride),
        pads=pads(joined.padding),
        dilations=list(joined.dilation),
        group=joined.groups,
    )


def bias_columns(form: Quantized, zero_point: int) -> IndexArray:
    """Return the weights ``(C, ones + tops)`` of the constant columns of a dense layer."""
    top = BYTE_MAX - zero_point
    many = np.rint(form.bias / top).astype(np.int64)
    columns = np.zeros((len(form.bias), form.ones + form.tops), np.int64)
    if form.ones:
        columns[:, 0] = form.bias - many * top
    for column in range(form.ones, columns.shape[1]):
        columns[:, column] = np.clip(many, -WEIGHT_MAX, WEIGHT_MAX)
        many = many - columns[:, column]
    return columns


def _checked(
    joined: Joined, bias: IndexArray, scale: Array, zero_point: int
) -> Quantized | str:
    """Return the form with the sums that its kernel may meet, or why it may not."""
    ones = tops = 0
    if joined.weight.ndim == 2:
        many = np.rint(bias / (BYTE_MAX - zero_point))
        ones = int(np.any(bias != many * (BYTE_MAX - zero_point)))
        tops = -int(-np.abs(many).max() // WEIGHT_MAX)
    rows = np.abs(joined.weight).reshape(len(bias), -1)
    sums = BYTE_MAX * (rows.sum(axis=1) + WEIGHT_MAX * (ones + tops)) + np.abs(bias)
    if int(sums.max()) > _SUM_MAX:
        return f"sums of up to {int(sums.max())}, and a kernel sums to {_SUM_MAX}"
    widest = WEIGHT_MAX if ones + tops else int(rows.max())
    return Quantized(joined, bias, scale, ones, tops, int(sums.max()), 2 * BYTE_MAX * widest)


def _bias(neurons: Spiking, layers: Sequence[Layer]) -> IndexArray | None:
    """Return what is added to each channel's sum, `None` if neurons of one differ."""
    channels = len(layers[0].weight)
    total = np.zeros(channels, np.int64)
    for value in (*(layer.bias for layer in layers), neurons.initial):
        if np.size(value) not in (1, channels):
            return None
        total = total + _per_channel(value, channels)
    return total - _per_channel(neurons.threshold, channels) // 2


def _per_channel(value: Array, channels: int) -> IndexArray:
    return np.broadcast_to(np.ravel(value).astype(np.int64), channels)


def _part(writer: ModelWriter, name: str, part: Part, signals: Sequence[Signal]) -> str:
    value = signals[part.source].value
    if part.step != (1, 1):
        value = writer.add(
            "MaxPool", [value], f"{name}/thinned", kernel_shape=[1, 1], strides=list(part.step)
        )
    if part.shift:
        places = writer.shared(part.shift, np.uint8)
        value = writer.add("BitShift", [value, places], f"{name}/shifted", direction="LEFT")
    return value


def _with_columns(writer: ModelWriter, name: str, source: str, columns: int, byte: int) -> str:
    """Write the inputs of a dense layer with constant ones behind them."""
    if not columns:
        return source
    added = writer.constant(f"{name}/columns", [0, 0, 0, columns], np.int64)
    return writer.add("Pad", [source, added, writer.shared(byte, np.uint8)], f"{name}/padded")
