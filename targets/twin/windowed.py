"""Neurons of several windows in the fast way: a quantized layer for each window.

What earlier windows take from a later one is one more layer into that, of one tap: of bytes
that are gathered before, or of their counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.columns import Columns, columns_of
from targets.twin.inhibition import Gathered, gathered
from targets.twin.joining import WEIGHT_MAX
from targets.twin.quantized import Quantized, emit_quantized, quantize
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.window import remembers, window_of
from targets.twin.writer import ModelWriter
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import Array, IndexArray
from toolchain.ir.snn import Spiking


@dataclass(frozen=True, eq=False)
class QuantizedWindow:
    """The neurons of one window.

    Attributes:
        form: Its layers as one, that of the inhibition behind the others.
        channels: How many channels it reads of each input, from the first.
        earlier: The windows that inhibit it, counted from 0.
        taken: What these take, gathered; `None` where their counts are read.
    """

    form: Quantized
    channels: tuple[int, ...]
    earlier: tuple[int, ...]
    taken: Gathered | None


@dataclass(frozen=True, eq=False)
class Windowed:
    """A population as one quantized layer for each window.

    Attributes:
        windows: In their order.
        columns: What all of them read in place of the population's inputs; `None` if these.
    """

    windows: tuple[QuantizedWindow, ...]
    columns: Columns | None


def form_of(
    neurons: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]
) -> Quantized | Windowed | str:
    """Return a population as quantized layers, or why it cannot be so."""
    if not remembers(neurons):
        return quantize(neurons, layers, signals)
    columns = columns_of(layers, signals, neurons.windows)
    if columns is not None:
        layers, signals = [columns.layer], [columns.signal]
    windows = []
    for number in range(neurons.windows):
        window = _quantized(neurons, number, layers, signals)
        if isinstance(window, str):
            return window
        windows.append(window)
    return Windowed(tuple(windows), columns)


def parts_of(form: Quantized | Windowed) -> list[Quantized]:
    """Return the layers that count the spikes of a population."""
    return [form] if isinstance(form, Quantized) else [one.form for one in form.windows]


def emit_windows(
    writer: ModelWriter, form: Windowed, neurons: Spiking, signals: Sequence[Signal], name: str
) -> str:
    """Write the spike counts of all windows."""
    if form.columns is not None:
        collected = emit_quantized(writer, form.columns.form, signals, f"{name}/columns")
        signals = [replace(form.columns.signal, value=collected)]
    sent: list[str] = []
    before: list[str] = []
    for number, window in enumerate(form.windows):
        within = f"{name}/window{number + 1}"
        read = [
            _first(writer, signal, channels, f"{within}/read{source}")
            for source, (signal, channels) in enumerate(
                zip(signals, window.channels, strict=True)
            )
        ]
        counts = [Signal(sent[s], (), 0, neurons.levels) for s in window.earlier]
        if window.taken is not None:
            if len(counts) == number:
                counts = [replace(counts[0], value=before[-1])]
            counts = [_emit_taken(writer, window.taken, counts, f"{within}/taken")]
        fired = emit_quantized(writer, window.form, (*read, *counts), within)
        sent.append(emit_limit(writer, fired, within, neurons.levels))
        is_last = number == neurons.windows - 1
        whole = name if is_last else f"{within}/first"
        before.append(
            writer.add("Concat", [before[-1], sent[-1]], whole, axis=1) if before else sent[0]
        )
        writer.firsts[name, (number + 1) * neurons.lateral.shape[2]] = before[-1]
    return name


def _quantized(
    neurons: Spiking, number: int, layers: Sequence[Layer], signals: Sequence[Signal]
) -> QuantizedWindow | str:
    """Return one window, or why it cannot be a quantized layer."""
    window = window_of(neurons, layers, number)
    channels = tuple(layer.weight.shape[1] for layer in window.layers)
    read = [
        (layer, replace(signal, shape=(first, *signal.shape[1:])))
        for layer, signal, first in zip(window.layers, signals, channels, strict=True)
    ]
    sent, zero = _sent(neurons, layers[0], signals[0]), signals[0].zero_point
    lateral = neurons.lateral[number, list(window.earlier)]
    taken = None
    if window.earlier and (zero or _is_wide(layers[0], lateral)):
        taken = gathered(lateral, layers[0], sent, zero)
    if taken is not None:
        read.append((taken.layer, taken.signal))
    else:
        read += [(_inhibition(layers[0], one), sent) for one in lateral]
    form = quantize(window.neurons, *zip(*read, strict=True))
    if isinstance(form, str):
        return form
    return QuantizedWindow(form, channels, window.earlier, taken)


def _is_wide(layer: Layer, lateral: IndexArray) -> bool:
    """Tell whether counts beside a layer would take more channels than gathered bytes do."""
    return isinstance(layer, Conv) and (len(lateral) > 2 or lateral.max() > WEIGHT_MAX)


def _first(writer: ModelWriter, signal: Signal, channels: int, name: str) -> Signal:
    """Write the first channels of a signal."""
    if channels == signal.shape[0]:
        return signal
    shape = (channels, *signal.shape[1:])
    if (signal.value, channels) in writer.firsts:
        return replace(signal, value=writer.firsts[signal.value, channels], shape=shape)
    bounds = zip(("starts", "ends", "axes"), (0, channels, 1), strict=True)
    names = [writer.constant(f"{name}/{key}", [at], np.int64) for key, at in bounds]
    value = writer.add("Slice", [signal.value, *names], name)
    return replace(signal, value=value, shape=shape)


def _emit_taken(
    writer: ModelWriter, taken: Gathered, counts: Sequence[Signal], name: str
) -> Signal:
    """Write the bytes of an inhibition."""
    values = [signal.value for signal in counts]
    if len(values) > 1:
        values = [writer.add("Concat", values, f"{name}/counts", axis=1)]
    source = replace(counts[0], value=values[0])
    return replace(taken.signal, value=emit_quantized(writer, taken.form, [source], name))


def emit_limit(writer: ModelWriter, source: str, name: str, levels: int) -> str:
    """Write bytes that saturate at 255 as counts of at most the highest level."""
    if levels >= BYTE_MAX:
        return writer.add("Identity", [source], name)
    limits = [writer.shared(limit, np.uint8) for limit in (0, levels)]
    return writer.add("Clip", [source, *limits], name)


def _inhibition(beside: Layer, lateral: Array) -> Layer:
    """Return the layer from one window to another."""
    if isinstance(beside, Dense):
        return Dense(name="inhibition", weight=-np.diag(lateral))
    weight = -lateral.reshape(-1, 1, 1, 1)
    return Conv(name="inhibition", weight=weight, groups=len(weight))


def _sent(neurons: Spiking, layer: Layer, signal: Signal) -> Signal:
    """Return what a window of neurons behind a layer sends."""
    shape = layer.output_shape(signal.shape)
    return Signal("", (neurons.lateral.shape[2], *shape[1:]), 0, neurons.levels)
