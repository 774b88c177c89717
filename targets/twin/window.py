"""One window of a population that remembers, as a population of one window.

What it remembers, the inhibition by its earlier windows, is left to those who read this. A
window reads no input channels behind the last that has weights other than 0: mixing that does
not look ahead leaves half of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.joining import ungrouped
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking

ALIGNED = 4
"""Kernels multiply so many input channels at once, and what is left over but slowly."""


@dataclass(frozen=True, eq=False)
class Window:
    """One window.

    Attributes:
        neurons: Of one window, without inhibition.
        layers: What adds up to their sums; each reads as many channels of its input, from the
            first, as its weights have columns.
        earlier: The windows that inhibit it, counted from 0.
    """

    neurons: Spiking
    layers: tuple[Layer, ...]
    earlier: tuple[int, ...]


def remembers(neurons: Spiking) -> bool:
    """Tell whether earlier windows inhibit later ones."""
    return neurons.windows > 1 and bool(np.any(neurons.lateral))


def window_of(neurons: Spiking, layers: Sequence[Layer], number: int) -> Window:
    """Return a window of neurons that remember.

    Args:
        neurons: The population.
        layers: Into it.
        number: Of the window, counted from 0.
    """
    channels = neurons.lateral.shape[2]
    alone = replace(
        neurons,
        threshold=_part(neurons.threshold, number, channels),
        initial=_part(neurons.initial, number, channels),
        lateral=np.zeros((), np.int64),
        windows=1,
    )
    earlier = tuple(s for s in range(number) if np.any(neurons.lateral[number, s]))
    return Window(alone, tuple(_rows(layer, number, channels) for layer in layers), earlier)


def _rows(layer: Layer, number: int, channels: int) -> Layer:
    """Return what a layer adds to one window."""
    if isinstance(layer, Conv):
        layer = replace(layer, weight=ungrouped(layer), groups=1)
    weight = _part(layer.weight, number, channels)
    is_read = np.any(weight, axis=tuple(set(range(weight.ndim)) - {1}))
    last = int(np.flatnonzero(is_read).max(initial=0))
    return replace(
        layer,
        weight=weight[:, : (last // ALIGNED + 1) * ALIGNED],
        bias=_part(layer.bias, number, channels),
    )


def _part(value: Array, number: int, channels: int) -> Array:
    """Return the rows of one window; what is the same for all has none."""
    value = np.asarray(value)
    return value if value.size == 1 else value[number * channels : (number + 1) * channels]
