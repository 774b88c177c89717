"""What earlier windows of a population take from a later one, added up before it in two bytes.

Window s takes ``l[s]`` for each of its spikes, more than a weight of 8 bits holds, so that
each window would be read in several digits. With a radix ``R`` for each channel, ``l[s] = R *
high[s] + low[s]``, and all that is taken is::

    sum of l[s] n[s]  =  R * (sum of high[s] n[s])  +  (sum of low[s] n[s])

Where either sum fits a byte, a layer of one tap adds them up, exactly, as its scale is 1, and
the population reads two channels for each of its own, however many windows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from targets.twin.joining import WEIGHT_MAX
from targets.twin.quantized import Quantized, whole_sums
from targets.twin.signals import BYTE_MAX, Signal
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.node import IndexArray


@dataclass(frozen=True, eq=False)
class Gathered:
    """What some windows take, as bytes and how they are read.

    Attributes:
        form: Adds up the bytes; reads the windows one behind the other.
        layer: Reads the bytes.
        signal: The bytes.
    """

    form: Quantized
    layer: Layer
    signal: Signal


def gathered(lateral: IndexArray, beside: Layer, sent: Signal, zero: int) -> Gathered | None:
    """Return the inhibition by windows, `None` where two bytes do not hold it.

    Args:
        lateral: ``(windows, C)``, taken for each spike.
        beside: Another layer into the population.
        sent: What each window sends.
        zero: The byte that is to stand for 0.
    """
    windows, channels = lateral.shape
    room = min((BYTE_MAX - zero) // sent.high, WEIGHT_MAX)
    radices = np.arange(1, WEIGHT_MAX + 1)[:, None, None]
    digits = np.stack([lateral // radices, lateral % radices])
    fits = (digits.sum(axis=2) <= room).all(axis=0)
    if np.any(lateral < 0) or not fits.any(axis=0).all():
        return None
    chosen = fits.argmax(axis=0)
    own = np.arange(channels)
    weight = np.zeros((channels, 2, windows, channels), np.int64)
    weight[own, :, :, own] = digits[:, chosen, :, own]
    read = np.stack([-radices[chosen].ravel(), np.full(channels, -1)], axis=1)
    rows, columns = 2 * channels, windows * channels
    adding: Layer
    reading: Layer
    if isinstance(beside, Dense):
        spread = np.zeros((channels, channels, 2), np.int64)
        spread[own, own] = read
        adding = Dense(name="taken", weight=weight.reshape(rows, columns))
        reading = Dense(name="inhibition", weight=spread.reshape(channels, rows))
    else:
        adding = Conv(name="taken", weight=weight.reshape(rows, columns, 1, 1))
        reading = Conv(
            name="inhibition", weight=read.reshape(channels, 2, 1, 1), groups=channels
        )
    inputs = Signal("", (columns, *sent.shape[1:]), 0, sent.high)
    form = whole_sums(adding, inputs, zero)
    return Gathered(form, reading, Signal("", (rows, *sent.shape[1:]), -zero, BYTE_MAX - zero))
