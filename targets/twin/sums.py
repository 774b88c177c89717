"""Neurons in the plain way: sums in a type that holds them exactly, then division and rounding.

For what bytes cannot say: biases of single neurons, inhibition between windows, more than 255
levels, layers that cannot be joined. Sums of integers are exact in any order in float32 while
all stay below 2**24, in int32 below 2**31, in float64 below 2**53.

A count is a quotient rounded down. In p bits (24 or 53) that is exact for whole numbers below
2**p: just below ``k * threshold`` the quotient is ``k - 1 / threshold``, and the next number
below ``k`` is nearer to ``k``. In int32 the quotient is cut off toward zero, which below zero
is 0 instead of less, and no count is below 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from targets.twin.joining import WEIGHT_MAX
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.writer import ModelWriter
from toolchain.bounds import Layer, proved_sums
from toolchain.errors import EmitError
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking

_EXACT: tuple[tuple[type[np.generic], int], ...] = (
    (np.float32, 2**24),
    (np.int32, 2**31),
    (np.float64, 2**53),
)


@dataclass(frozen=True)
class Sum:
    """A sum of layers in the model.

    Attributes:
        value: Name in the model.
        dtype: Its element type.
    """

    value: str
    dtype: type[np.generic]


def largest_sum(layers: Sequence[Layer], signals: Sequence[Signal]) -> int:
    """Return what no partial sum of layers, with their biases, exceeds in magnitude."""
    total = 0
    for layer, signal in zip(layers, signals, strict=True):
        sums = np.maximum(*proved_sums(layer, signal.low, signal.high))
        total += int(sums.max()) + int(np.abs(layer.bias).max())
    return total


def largest_potential(
    neurons: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]
) -> int:
    """Return what no potential of neurons, and no level of theirs, exceeds in magnitude."""
    taken = neurons.windows * neurons.levels * int(np.abs(neurons.lateral).max())
    reached = largest_sum(layers, signals) + int(np.abs(neurons.initial).max()) + taken
    return max(reached, neurons.levels * int(np.max(neurons.threshold)))


def sum_type(
    layers: Sequence[Layer], signals: Sequence[Signal], largest: int
) -> type[np.generic] | None:
    """Return the fastest type for sums up to ``largest``, `None` if none is exact."""
    possible = [dtype for dtype, limit in _EXACT if largest < limit]
    if any(isinstance(layer, Conv) for layer in layers):
        possible = [dtype for dtype in possible if dtype is not np.float64]
    else:
        possible.sort(key=lambda dtype: dtype is not np.int32)
    if not _are_bytes(layers, signals):
        possible = [dtype for dtype in possible if dtype is not np.int32]
    return possible[0] if possible else None


def _are_bytes(layers: Sequence[Layer], signals: Sequence[Signal]) -> bool:
    return all(signal.is_bytes for signal in signals) and all(
        int(np.abs(layer.weight).max()) <= WEIGHT_MAX for layer in layers
    )


def emit_sum(
    writer: ModelWriter,
    name: str,
    layers: Sequence[Layer],
    signals: Sequence[Signal],
    largest: int,
) -> Sum:
    """Write what layers, with their biases, add up to; ``largest`` is what no sum exceeds.

    Raises:
        EmitError: No type of ONNX holds the sums exactly.
    """
    dtype = sum_type(layers, signals, largest)
    if dtype is None:
        raise EmitError(
            f"adds up to {largest}, which ONNX has no exact layer of this kind for",
            node=layers[0].name,
            hint="lower --levels",
        )
    total = ""
    for layer, signal in zip(layers, signals, strict=True):
        product = _product(writer, f"{name}/{layer.name}", layer, signal, dtype)
        total = product if not total else writer.add("Add", [total, product], f"{product}/sum")
    bias = sum(np.asarray(layer.bias, np.int64) for layer in layers)
    if np.any(bias):
        constant = writer.constant(f"{name}/bias", bias, dtype)
        total = writer.add("Add", [total, constant], f"{name}/sums")
    return Sum(total, dtype)


def emit_counts(writer: ModelWriter, neurons: Spiking, total: Sum, name: str) -> str:
    """Write the spike counts of neurons whose layers add up to ``total``."""
    if neurons.windows == 1:
        return _fired(writer, name, total, neurons, neurons.initial, neurons.threshold)
    channels = neurons.lateral.shape[2]
    column = (channels, *(1 for _ in np.shape(neurons.threshold)[1:]))
    per_window = (neurons.windows, *column)
    initial, threshold = (
        np.broadcast_to(np.ravel(value), neurons.windows * channels).reshape(per_window)
        for value in (neurons.initial, neurons.threshold)
    )
    counts: list[str] = []
    for window in range(neurons.windows):
        own = f"{name}/window{window + 1}"
        part = Sum(_window(writer, own, total, window, channels), total.dtype)
        for earlier, sent in enumerate(counts):
            taken = neurons.lateral[window, earlier].reshape(column)
            part = _inhibited(writer, f"{own}/from{earlier + 1}", part, sent, taken)
        counts.append(_fired(writer, own, part, neurons, initial[window], threshold[window]))
    return writer.add("Concat", counts, name, axis=1)


def count_type(levels: int) -> npt.DTypeLike:
    """Return the type that spike counts travel in."""
    return np.uint8 if levels <= BYTE_MAX else np.float32


def _product(
    writer: ModelWriter, name: str, layer: Layer, signal: Signal, dtype: type[np.generic]
) -> str:
    weight = layer.weight.T if isinstance(layer, Dense) else layer.weight
    if dtype is np.int32:
        constant = writer.constant(f"{name}/weight", weight, np.int8)
        names = [signal.value, constant, writer.shared(signal.zero_point, np.uint8)]
        operator = "MatMulInteger" if isinstance(layer, Dense) else "ConvInteger"
    else:
        names = [_numbers(writer, name, signal, dtype)]
        names.append(writer.constant(f"{name}/weight", weight, dtype))
        operator = "MatMul" if isinstance(layer, Dense) else "Conv"
    geometry = {} if isinstance(layer, Dense) else geometry_of(layer)
    return writer.add(operator, names, f"{name}/product", **geometry)


def geometry_of(layer: Conv) -> dict[str, object]:
    """Return what ONNX calls the geometry of a convolution."""
    return {
        "strides": list(layer.stride),
        "pads": pads(layer.padding),
        "dilations": list(layer.dilation),
        "group": layer.groups,
    }


def pads(padding: tuple[tuple[int, int], tuple[int, int]]) -> list[int]:
    """Return padding in ONNX's order."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom, right]


def _numbers(writer: ModelWriter, name: str, signal: Signal, dtype: type[np.generic]) -> str:
    """Write a signal as numbers of a floating-point type."""
    value = signal.value
    if signal.is_bytes or dtype is not np.float32:
        value = writer.cast(value, dtype, f"{name}/input")
    if signal.zero_point:
        shift = writer.shared(signal.zero_point, dtype)
        value = writer.add("Sub", [value, shift], f"{name}/signed")
    return value


def _window(writer: ModelWriter, name: str, total: Sum, window: int, channels: int) -> str:
    bounds = {"starts": window * channels, "ends": (window + 1) * channels, "axes": 1}
    names = [
        writer.constant(f"{name}/{key}", [value], np.int64) for key, value in bounds.items()
    ]
    return writer.add("Slice", [total.value, *names], f"{name}/part")


def _inhibited(writer: ModelWriter, name: str, part: Sum, sent: str, taken: Array) -> Sum:
    if not np.any(taken):
        return part
    counts = writer.cast(sent, part.dtype, f"{name}/counts")
    weight = writer.constant(f"{name}/weight", taken, part.dtype)
    product = writer.add("Mul", [counts, weight], f"{name}/product")
    return Sum(writer.add("Sub", [part.value, product], f"{name}/left"), part.dtype)


def _fired(
    writer: ModelWriter, name: str, total: Sum, neurons: Spiking, initial: Array, theta: Array
) -> str:
    value = total.value
    if np.any(initial):
        start = writer.constant(f"{name}/initial", initial, total.dtype)
        value = writer.add("Add", [value, start], f"{name}/potential")
    threshold = writer.constant(f"{name}/threshold", theta, total.dtype)
    value = writer.add("Div", [value, threshold], f"{name}/quotient")
    if total.dtype is not np.int32:
        value = writer.add("Floor", [value], f"{name}/floor")
    limits = [writer.shared(limit, total.dtype) for limit in (0, neurons.levels)]
    value = writer.add("Clip", [value, *limits], f"{name}/limited")
    return writer.cast(value, count_type(neurons.levels), name)
