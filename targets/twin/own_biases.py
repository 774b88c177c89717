"""Biases of single neurons as a layer that reads constants.

Normalization that is folded into a padded convolution leaves other biases at the borders. Few
positions differ: all inner ones are alike, and so are those of an edge. So there is a map of
ones for each kind of position but the most frequent, and a layer of one tap that adds to each
channel what it has there more than elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from targets.twin.signals import Signal
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv
from toolchain.ir.node import Array, IndexArray

_KINDS_MAX = 32


@dataclass(frozen=True, eq=False)
class OwnBiases:
    """What is left of the biases of a population when each channel has one.

    Attributes:
        layer: Of one tap; reads `maps`.
        signal: What it reads.
        maps: ``(kinds, H, W)``, 0 or 1, of the size of the other layers' input.
        bias: ``(C,)``, what the most frequent kind of position has.
    """

    layer: Conv
    signal: Signal
    maps: IndexArray
    bias: IndexArray


def own_biases(
    bias: Array, layers: Sequence[Layer], signals: Sequence[Signal], value: str
) -> OwnBiases | None:
    """Return biases ``(C, H, W)`` as a layer.

    `None` where too many positions differ, or there are more of them than in the input.

    Args:
        bias: Of all layers and neurons together.
        layers: Into the population; of one stride, with inputs of one size.
        signals: What they read.
        value: Name for the maps in the model.
    """
    first, size = layers[0], signals[0].shape[1:]
    alike = {
        (getattr(layer, "stride", None), signal.shape[1:])
        for layer, signal in zip(layers, signals, strict=True)
    }
    if not isinstance(first, Conv) or len(alike) > 1:
        return None
    channels, *outputs = bias.shape
    read = [step * np.arange(out) for step, out in zip(first.stride, outputs, strict=True)]
    kinds, kind_of, sizes = np.unique(
        bias.reshape(channels, -1), axis=1, return_inverse=True, return_counts=True
    )
    is_inside = all(at[-1] < length for at, length in zip(read, size, strict=True))
    if len(sizes) > _KINDS_MAX or not is_inside:
        return None
    usual = int(sizes.argmax())
    others = np.delete(np.arange(len(sizes)), usual)
    maps = np.zeros((len(others), *size), np.int64)
    maps[:, read[0][:, None], read[1]] = kind_of.reshape(outputs) == others[:, None, None]
    weight = (kinds[:, others] - kinds[:, [usual]]).reshape(channels, -1, 1, 1)
    layer = Conv(name="biases", weight=weight.astype(np.int64), stride=first.stride)
    signal = Signal(value, maps.shape, min(signals[0].low, 0), 1)
    return OwnBiases(layer, signal, maps, kinds[:, usual].astype(np.int64))
