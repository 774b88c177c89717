"""Convolutions over few positions as dense layers.

Where a kernel has more taps than its input has positions, most taps read nothing but padding: a
kernel of 3x3 on maps of 2x2 multiplies nine times for each neuron and input channel, of which
four matter. The dense layer between the same neurons multiplies those four times, for all
samples of a batch at once. Both of its ends have channels last, where runtimes have them. A
layer of one tap beside such a kernel, which would be filled up with zeros, becomes dense, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from targets.twin.joining import ungrouped
from targets.twin.signals import Signal
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import IndexArray

_GROWTH_MAX = 2
"""How many times the weights the dense layers may have."""


def flattened(
    layers: Sequence[Layer], signals: Sequence[Signal]
) -> tuple[tuple[Dense, ...], tuple[Signal, ...]] | None:
    """Return convolutions as dense layers, channels last; `None` if that is no gain.

    Args:
        layers: Into one population; biases are left out.
        signals: What each of them reads.
    """
    taps = max(math.prod(layer.weight.shape[2:]) for layer in layers)
    dense = []
    for layer, signal in zip(layers, signals, strict=True):
        if not isinstance(layer, Conv) or (layer.groups > 1 and layer.kernel != (1, 1)):
            return None
        positions = math.prod(signal.shape[1:])
        outputs = math.prod(layer.output_shape(signal.shape)[1:])
        if positions >= taps or positions * outputs > _GROWTH_MAX * taps:
            return None
        dense.append(Dense(name=layer.name, weight=_dense_weight(layer, signal)))
    flat = (replace(signal, shape=(math.prod(signal.shape),)) for signal in signals)
    return tuple(dense), tuple(flat)


def _dense_weight(layer: Conv, signal: Signal) -> IndexArray:
    """Return weights ``(rows * columns * C, height * width * channels)``."""
    channels, height, width = signal.shape
    _, rows, columns = layer.output_shape(signal.shape)
    kernel = ungrouped(layer)
    weight = np.zeros((rows, columns, len(kernel), height, width, channels), kernel.dtype)
    for row, column, tap_y, tap_x in np.ndindex(rows, columns, *layer.kernel):
        y, x = (
            at * step + tap * spacing - pads[0]
            for at, step, tap, spacing, pads in zip(
                (row, column),
                layer.stride,
                (tap_y, tap_x),
                layer.dilation,
                layer.padding,
                strict=True,
            )
        )
        if 0 <= y < height and 0 <= x < width:
            weight[row, column, :, y, x] = kernel[:, :, tap_y, tap_x]
    return weight.reshape(rows * columns * len(kernel), -1)
