"""Neurons of several windows in the fast way: a quantized layer for each window.

What an earlier window takes from a later one is one more layer into that, of one tap, whose
weights are the inhibition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.quantized import Quantized, emit_quantized, quantize
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.writer import ModelWriter
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking


@dataclass(frozen=True, eq=False)
class Windowed:
    """A population as one quantized layer for each window.

    Attributes:
        windows: The layers.
        inhibited_by: For each, the earlier windows that it reads, counted from 0.
    """

    windows: tuple[Quantized, ...]
    inhibited_by: tuple[tuple[int, ...], ...]


def form_of(
    neurons: Spiking, layers: Sequence[Layer], signals: Sequence[Signal]
) -> Quantized | Windowed | str:
    """Return a population as quantized layers, or why it cannot be so."""
    if neurons.windows == 1 or not np.any(neurons.lateral):
        return quantize(neurons, layers, signals)
    forms, inhibitors = [], []
    for window in range(neurons.windows):
        earlier = tuple(s for s in range(window) if np.any(neurons.lateral[window, s]))
        own = [_rows(layer, window, neurons) for layer in layers]
        inhibition = [_inhibition(layers[0], neurons.lateral[window, s]) for s in earlier]
        read = [_sent(neurons, layers[0], signals[0]) for _ in earlier]
        form = quantize(_neurons(neurons, window), (*own, *inhibition), (*signals, *read))
        if isinstance(form, str):
            return form
        forms.append(form)
        inhibitors.append(earlier)
    return Windowed(tuple(forms), tuple(inhibitors))


def emit_windows(
    writer: ModelWriter, form: Windowed, neurons: Spiking, signals: Sequence[Signal], name: str
) -> str:
    """Write the spike counts of all windows."""
    sent: list[str] = []
    for window, (own, earlier) in enumerate(zip(form.windows, form.inhibited_by, strict=True)):
        within = f"{name}/window{window + 1}"
        read = [Signal(sent[s], (), 0, neurons.levels) for s in earlier]
        fired = emit_quantized(writer, own, (*signals, *read), within)
        sent.append(emit_limit(writer, fired, within, neurons.levels))
    return writer.add("Concat", sent, name, axis=1)


def emit_limit(writer: ModelWriter, source: str, name: str, levels: int) -> str:
    """Write bytes that saturate at 255 as counts of at most the highest level."""
    if levels >= BYTE_MAX:
        return writer.add("Identity", [source], name)
    limits = [writer.shared(limit, np.uint8) for limit in (0, levels)]
    return writer.add("Clip", [source, *limits], name)


def _neurons(neurons: Spiking, window: int) -> Spiking:
    """Return the neurons of one window."""
    channels = neurons.lateral.shape[2]
    return replace(
        neurons,
        threshold=_part(neurons.threshold, window, channels),
        initial=_part(neurons.initial, window, channels),
        lateral=np.zeros((), np.int64),
        windows=1,
    )


def _rows(layer: Layer, window: int, neurons: Spiking) -> Layer:
    """Return what a layer adds to one window."""
    channels = neurons.lateral.shape[2]
    weight = _part(layer.weight, window, channels)
    return replace(layer, weight=weight, bias=_part(layer.bias, window, channels))


def _part(value: Array, window: int, channels: int) -> Array:
    """Return the rows of one window; what is the same for all has none."""
    value = np.asarray(value)
    return value if value.size == 1 else value[window * channels : (window + 1) * channels]


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
