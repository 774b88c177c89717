"""What each neuron of a convolution of few inputs reads, collected once for all windows.

Beside a kernel of many taps what earlier windows take is read in all of them, with weights of
0 in all but one. A convolution whose weights are those of an identity puts what a kernel reads
of its input behind one another as channels. The kernel becomes one of a single tap, and all
windows read the same channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.quantized import Quantized, whole_sums
from targets.twin.signals import Signal
from targets.twin.window import ALIGNED
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv

_BYTES_TAKEN = 2
"""Channels, for each of a population, that say what earlier windows take."""


@dataclass(frozen=True, eq=False)
class Columns:
    """A convolution as one of a single tap.

    Attributes:
        form: Collects the inputs.
        layer: Reads what is collected.
        signal: What is collected.
    """

    form: Quantized
    layer: Conv
    signal: Signal


def columns_of(
    layers: Sequence[Layer], signals: Sequence[Signal], windows: int
) -> Columns | None:
    """Return the only layer into some windows as one of a single tap, if that saves work.

    Collecting n inputs takes n * n multiplications a position.

    Args:
        layers: Into the population.
        signals: What they read.
        windows: Of the population.
    """
    (layer, *others), (signal, *_) = layers, signals
    if others or not isinstance(layer, Conv) or layer.groups > 1 or not signal.is_bytes:
        return None
    inputs, taps = math.prod(layer.weight.shape[1:]), math.prod(layer.kernel)
    channels = len(layer.weight) // windows
    saved = (windows - 1) * (taps - 1) * _BYTES_TAKEN * channels**2
    if taps == 1 or inputs**2 > saved:
        return None
    filled = -(-inputs // ALIGNED) * ALIGNED
    identity = np.eye(filled, inputs, dtype=np.int64)
    collecting = replace(
        layer, weight=identity.reshape(filled, *layer.weight.shape[1:]), bias=np.zeros(())
    )
    weight = np.zeros((len(layer.weight), filled, 1, 1), layer.weight.dtype)
    weight[:, :inputs, 0, 0] = layer.weight.reshape(-1, inputs)
    return Columns(
        whole_sums(collecting, signal, signal.zero_point),
        Conv(name=layer.name, weight=weight, bias=layer.bias),
        replace(signal, shape=(filled, *layer.output_shape(signal.shape)[1:])),
    )
