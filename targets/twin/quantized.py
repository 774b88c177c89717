"""Neurons in the fast way: one quantized layer of ONNX, bytes in and bytes out.

``QLinearConv`` and ``QLinearMatMul`` sum in 32-bit integers, multiply by a scale, round and
saturate; `staircase` says when that is the count of a neuron. What is left to do is a limit at
the highest level. A matrix product has no bias, so its input gets columns of ones and of large
bytes, and the bias is their weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.few_positions import flattened
from targets.twin.joining import WEIGHT_MAX, Block, Joined, Part, join
from targets.twin.neighbours import with_neighbours
from targets.twin.own_biases import OwnBiases, own_biases
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.staircase import staircase_scale
from targets.twin.sums import pads
from targets.twin.writer import ModelWriter
from toolchain.bounds import Layer
from toolchain.ir.node import Array, IndexArray, Shape
from toolchain.ir.snn import Spiking

_SUM_MAX = 2**31 - 1

_TOP = 127
"""The larger constant; two products of it and a weight fit 16 bits."""

_END = 2**31 - 1

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Where axes go when channels become the last, or the first again."""


@dataclass(frozen=True, eq=False)
class Quantized:
    """A population as one quantized layer.

    Attributes:
        joined: Its layers as one; the weights of a dense one with those of constant columns.
        bias: ``(C,)``, of each row of the weights, initial potential included and half the
            threshold taken off.
        scale: ``(C,)``, likewise.
        ones: Columns of ones behind the inputs of a dense layer.
        tops: Columns of `_TOP` behind those.
        largest: What no sum of the kernel exceeds in magnitude.
        own: Biases of single neurons, as a layer behind the others; `None` if there are none.
        largest_pair: What the sum of two products does not exceed; CPUs without instructions
            for dot products of bytes hold 32767.
        shape: Of the population where its convolutions are written as dense layers, channels
            last; else `None`.
    """

    joined: Joined
    bias: IndexArray
    scale: Array
    ones: int
    tops: int
    own: OwnBiases | None
    largest: int
    largest_pair: int
    shape: Shape | None


def quantize(
    neurons: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]
) -> Quantized | str:
    """Return a population as one quantized layer, or why it cannot be one."""
    if neurons.levels > BYTE_MAX:
        return f"{neurons.levels} levels, and a byte counts to {BYTE_MAX}"
    if not all(signal.is_bytes for signal in signals):
        return "inputs of more than 8 bits"
    if len({type(layer) for layer in layers}) > 1 or len({s.zero_point for s in signals}) > 1:
        return "layers of different kinds"
    if signals[0].zero_point > WEIGHT_MAX + 1:
        return "inputs of more than 7 bits below zero"
    bias, own, shape = _bias(neurons, layers), None, layers[0].output_shape(signals[0].shape)
    flat = flattened(layers, signals) if bias.ndim == 1 else None
    if bias.ndim > 1:
        own = own_biases(bias, layers, signals, f"{neurons.name}/maps")
        if own is None:
            return "biases of single neurons"
        layers, signals, bias = (*layers, own.layer), (*signals, own.signal), own.bias
    joined = join(*(flat or (layers, signals)))
    if joined is None:
        return "layers whose kernels cannot be joined at a fair cost"
    threshold = _per_channel(neurons.threshold, len(bias))
    scale = staircase_scale(threshold, neurons.levels)
    if scale is None:
        return "a threshold that float32 is too short for"
    joined = with_neighbours(joined, shape[-1])
    copies = math.prod(shape[1:]) if flat else joined.together
    bias, scale = np.tile(bias - threshold // 2, copies), np.tile(scale, copies)
    return _checked(joined, bias, scale, own, signals, shape if flat else None)


def whole_sums(layer: Layer, signal: Signal, zero: int) -> Quantized:
    """Return a layer whose sums themselves come out.

    Args:
        layer: A single one, of weights within +-127.
        signal: What it reads.
        zero: Byte that stands for 0 in what comes out; with it all sums fit a byte.
    """
    joined = join([layer], [signal])
    if joined is None:
        raise TypeError(f"{layer.name} is no single layer")
    joined = with_neighbours(joined, layer.output_shape(signal.shape)[-1])
    rows = len(joined.blocks[0].weight)
    bias, scale = np.full(rows, zero), np.ones(rows, np.float32)
    form = _checked(joined, bias, scale, None, [signal])
    if isinstance(form, str):
        raise TypeError(form)
    return form


def emit_quantized(
    writer: ModelWriter, form: Quantized, signals: Sequence[Signal], name: str
) -> str:
    """Write a population; what comes out is its counts, as yet without a limit."""
    blocks, zero = form.joined.blocks, signals[0].zero_point
    if form.shape is not None:
        signals = [_flat(writer, signal, f"{name}/flat{i}") for i, signal in enumerate(signals)]
    if form.own is not None:
        maps = _emit_maps(writer, form.own, signals[0], name)
        signals = [*signals, replace(form.own.signal, value=maps)]
    copies = {
        part: _copied(writer, f"{name}/copy{number}", part, signals)
        for number, part in enumerate(
            dict.fromkeys(replace(part, channels=None) for b in blocks for part in b.parts)
        )
    }
    outputs, first = [], 0
    for number, block in enumerate(blocks):
        rows = slice(first, first + len(block.weight))
        is_whole = len(blocks) == 1 and form.shape is None and form.joined.together == 1
        within = name if is_whole else f"{name}/block{number}"
        source = _side_by_side(writer, block, copies, within)
        emit = _emit_product if block.weight.ndim == 2 else _emit_convolution
        outputs.append(emit(writer, form, block, rows, source, zero, within))
        first = rows.stop
    if form.shape is not None:
        channels, *size = form.shape
        apart = writer.reshaped(outputs[0], [*size, channels], f"{name}/apart")
        return writer.add("Transpose", [apart], f"{name}/fired", perm=_TO_FIRST)
    if form.joined.together > 1:
        return _in_rows(writer, outputs[0], first // form.joined.together, f"{name}/fired")
    if len(outputs) > 1:
        return writer.add("Concat", outputs, f"{name}/fired", axis=1)
    return outputs[0]


def _flat(writer: ModelWriter, signal: Signal, name: str) -> Signal:
    last = writer.add("Transpose", [signal.value], f"{name}/last", perm=_TO_LAST)
    return replace(signal, value=writer.reshaped(last, [-1], name))


def _in_rows(writer: ModelWriter, source: str, channels: int, name: str) -> str:
    """Write neighbours, which are channels, as what they are.

    Where a runtime has channels last, only the change of shape is left, which moves nothing.
    """
    last = writer.add("Transpose", [source], f"{name}/last", perm=_TO_LAST)
    wanted = writer.constant(f"{name}/rows", [0, 0, -1, channels], np.int64)
    rows = writer.add("Reshape", [last, wanted], f"{name}/apart")
    return writer.add("Transpose", [rows], name, perm=_TO_FIRST)


def _emit_maps(writer: ModelWriter, own: OwnBiases, beside: Signal, name: str) -> str:
    """Write the maps of constants, as many times as there are samples."""
    shape = writer.add("Shape", [beside.value], f"{name}/maps/beside")
    first = writer.constant(f"{name}/maps/first", [0], np.int64)
    batch = writer.add("Gather", [shape, first], f"{name}/maps/batch")
    rest = writer.constant(f"{name}/maps/rest", own.maps.shape, np.int64)
    wanted = writer.add("Concat", [batch, rest], f"{name}/maps/shape", axis=0)
    maps = writer.constant(f"{name}/maps/one", own.maps[None] + beside.zero_point, np.uint8)
    return writer.add("Expand", [maps, wanted], f"{name}/maps")


def _copied(writer: ModelWriter, name: str, part: Part, signals: Sequence[Signal]) -> str:
    """Write what a part reads, thinned out and shifted."""
    value = signals[part.source].value
    if part.start != (0, 0):
        value = _from_start(writer, f"{name}/thinned", value, part)
    elif part.step != (1, 1):
        value = writer.add(
            "MaxPool", [value], f"{name}/thinned", kernel_shape=[1, 1], strides=list(part.step)
        )
    if any(part.behind):
        added = writer.constant(f"{name}/behind", [0] * 6 + list(part.behind), np.int64)
        zero = writer.shared(signals[part.source].zero_point, np.uint8)
        value = writer.add("Pad", [value, added, zero], f"{name}/filled")
    if part.shift:
        places = writer.shared(part.shift, np.uint8)
        value = writer.add("BitShift", [value, places], f"{name}/shifted", direction="LEFT")
    return value


def _from_start(writer: ModelWriter, name: str, value: str, part: Part) -> str:
    """Write every so many positions from a start on."""
    bounds = {"starts": part.start, "ends": [_END] * 2, "axes": [2, 3], "steps": part.step}
    names = [writer.constant(f"{name}/{key}", at, np.int64) for key, at in bounds.items()]
    return writer.add("Slice", [value, *names], name)


def _side_by_side(
    writer: ModelWriter, block: Block, copies: Mapping[Part, str], name: str
) -> str:
    """Write the inputs of a block one behind the other."""
    read = []
    for number, part in enumerate(block.parts):
        value = copies[replace(part, channels=None)]
        if part.channels is not None:
            bounds = zip(("starts", "ends", "axes"), (*part.channels, 1), strict=True)
            names = [
                writer.constant(f"{name}/part{number}/{key}", [at], np.int64)
                for key, at in bounds
            ]
            value = writer.add("Slice", [value, *names], f"{name}/part{number}")
        read.append(value)
    return read[0] if len(read) == 1 else writer.add("Concat", read, f"{name}/parts", axis=1)


def _emit_product(
    writer: ModelWriter,
    form: Quantized,
    block: Block,
    rows: slice,
    source: str,
    zero: int,
    name: str,
) -> str:
    for columns, byte in ((form.ones, 1 + zero), (form.tops, _TOP + zero)):
        source = _with_columns(writer, f"{name}/byte{byte}", source, columns, byte)
    names = [source, *_quantization(writer, form, block.weight.T, rows, zero, name)]
    return writer.add("QLinearMatMul", names, f"{name}/fired")


def _emit_convolution(
    writer: ModelWriter,
    form: Quantized,
    block: Block,
    rows: slice,
    source: str,
    zero: int,
    name: str,
) -> str:
    joined = form.joined
    names = [source, *_quantization(writer, form, block.weight, rows, zero, name)]
    names.append(writer.constant(f"{name}/bias", form.bias[rows], np.int32))
    return writer.add(
        "QLinearConv",
        names,
        f"{name}/fired",
        strides=list(joined.stride),
        pads=pads(joined.padding),
        dilations=list(joined.dilation),
        group=joined.groups,
    )


def _quantization(
    writer: ModelWriter, form: Quantized, weight: Array, rows: slice, zero: int, name: str
) -> list[str]:
    """Return what quantized layers read behind their input: scales, zero points, weights."""
    one, none = writer.shared(1, np.float32), writer.shared(0, np.uint8)
    scale = form.scale[rows]
    return [
        one,
        writer.shared(zero, np.uint8),
        writer.constant(f"{name}/weight", weight, np.int8),
        writer.constant(f"{name}/scale", scale, np.float32),
        writer.constant(f"{name}/zero", np.zeros(len(scale)), np.int8),
        one,
        none,
    ]


def _with_bias(block: Block, bias: IndexArray, ones: int, tops: int) -> Block:
    """Return the block of a dense layer with the weights of its constant columns.

    It is transposed in memory, as ONNX wants it.
    """
    outputs, inputs = block.weight.shape
    weight = np.empty((inputs + ones + tops, outputs), np.int8)
    weight[:inputs] = block.weight.T
    many = np.rint(bias / _TOP).astype(np.int64)
    if ones:
        weight[inputs] = bias - many * _TOP
    for column in range(inputs + ones, len(weight)):
        weight[column] = np.clip(many, -WEIGHT_MAX, WEIGHT_MAX)
        many = many - weight[column]
    return replace(block, weight=weight.T)


def _checked(
    joined: Joined,
    bias: IndexArray,
    scale: Array,
    own: OwnBiases | None,
    signals: Sequence[Signal],
    shape: Shape | None = None,
) -> Quantized | str:
    """Return the form with the sums that its kernel may meet, or why it may not."""
    ones = tops = 0
    if joined.blocks[0].weight.ndim == 2:
        many = np.rint(bias / _TOP)
        ones = int(np.any(bias != many * _TOP))
        tops = -int(-np.abs(many).max() // WEIGHT_MAX)
    rows = [np.abs(block.weight).reshape(len(block.weight), -1) for block in joined.blocks]
    largest = max(int(row.sum(axis=1).max()) for row in rows)
    largest = BYTE_MAX * (largest + WEIGHT_MAX * (ones + tops)) + int(np.abs(bias).max())
    if largest > _SUM_MAX:
        return f"sums of up to {largest}, and a kernel sums to {_SUM_MAX}"
    bytes_read = [
        (signals[part.source].high << part.shift) + signals[part.source].zero_point
        for block in joined.blocks
        for part in block.parts
    ]
    if ones + tops:
        bytes_read.append(_TOP + signals[0].zero_point)
    pair = (
        2 * max(bytes_read) * max(WEIGHT_MAX * (ones + tops > 0), *(int(r.max()) for r in rows))
    )
    if joined.blocks[0].weight.ndim == 2:
        (block,) = joined.blocks
        joined = replace(joined, blocks=(_with_bias(block, bias, ones, tops),))
    return Quantized(joined, bias, scale, ones, tops, own, largest, pair, shape)


def _bias(neurons: Spiking, layers: Sequence[Layer]) -> IndexArray:
    """Return what is added to sums, ``(C,)``, or ``(C, H, W)`` if a channel has no one bias."""
    channels = len(layers[0].weight)
    values = [*(layer.bias for layer in layers), neurons.initial]
    if all(np.size(value) in (1, channels) for value in values):
        return np.sum([_per_channel(value, channels) for value in values], axis=0)
    bias = np.sum([np.broadcast_arrays(value, *values)[0] for value in values], axis=0)
    first: IndexArray = bias.reshape(channels, -1)[:, 0]
    return first if np.all(first == bias.T) else bias


def _per_channel(value: Array, channels: int) -> IndexArray:
    return np.broadcast_to(np.ravel(value).astype(np.int64), channels)


def _with_columns(writer: ModelWriter, name: str, source: str, columns: int, byte: int) -> str:
    """Write the inputs of a dense layer with constant ones behind them."""
    if not columns:
        return source
    added = writer.constant(f"{name}/columns", [0, 0, 0, columns], np.int64)
    return writer.add("Pad", [source, added, writer.shared(byte, np.uint8)], f"{name}/padded")
