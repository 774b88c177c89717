"""What earlier windows of a population take from a later one, added up before it in few bytes.

Window s takes ``l[s]`` for each of its spikes, more than a weight of 8 bits holds, so that
each window would be read in several digits. With a radix ``R`` for each channel, ``l[s] = R *
high[s] + low[s]``, and all that is taken is::

    sum of l[s] n[s]  =  R * (sum of high[s] n[s])  +  (sum of low[s] n[s])

Where either sum fits a byte, a layer of one tap adds them up, exactly, as its scale is 1, and
the population reads two channels for each of its own, however many windows there are. A sum
that is larger is spread over several bytes.
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

_BYTES_MAX = 16
"""For each channel; more than that take as long as plain sums."""


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
    """Return the inhibition by windows, `None` where it is excitation or takes many bytes.

    Args:
        lateral: ``(windows, C)``, taken for each spike.
        beside: Another layer into the population.
        sent: What each window sends.
        zero: The byte that is to stand for 0.
    """
    room = min((BYTE_MAX - zero) // sent.high, WEIGHT_MAX)
    if room == 0 or np.any(lateral < 0):
        return None
    digits, read = _bytes(lateral, room)
    channels, size = read.shape
    if size > _BYTES_MAX:
        return None
    own, windows = np.arange(channels), len(lateral)
    weight = np.zeros((channels, size, windows, channels), np.int64)
    weight[own, :, :, own] = np.moveaxis(digits, 2, 0)
    rows, columns = channels * size, windows * channels
    adding: Layer
    reading: Layer
    if isinstance(beside, Dense):
        spread = np.zeros((channels, channels, size), np.int64)
        spread[own, own] = read
        adding = Dense(name="taken", weight=weight.reshape(rows, columns))
        reading = Dense(name="inhibition", weight=spread.reshape(channels, rows))
    else:
        adding = Conv(name="taken", weight=weight.reshape(rows, columns, 1, 1))
        reading = Conv(name="inhibition", weight=read[:, :, None, None], groups=channels)
    form = whole_sums(adding, Signal("", (columns, *sent.shape[1:]), 0, sent.high), zero)
    return Gathered(form, reading, Signal("", (rows, *sent.shape[1:]), -zero, BYTE_MAX - zero))


def _bytes(lateral: IndexArray, room: int) -> tuple[IndexArray, IndexArray]:
    """Return digits ``(bytes, windows, C)``, and the weight ``(C, bytes)`` of each byte.

    The radix of each channel is one with which it takes fewest bytes.

    Args:
        lateral: ``(windows, C)``, >= 0.
        room: What the digits of a byte add up to at most.
    """
    radices = np.arange(1, WEIGHT_MAX + 1)[:, None, None]
    high, low = -(-np.stack([lateral // radices, lateral % radices]).sum(axis=2) // room)
    chosen = (high + low).argmin(axis=0)
    radix, of_high = chosen + 1, np.take_along_axis(high, chosen[None], axis=0)[0]
    size = max(1, int((high + low).min(axis=0).max()))
    digits = _spread(lateral // radix, np.zeros_like(radix), room, size)
    digits += _spread(lateral % radix, of_high, room, size)
    is_high = np.arange(size) < of_high[:, None]
    return digits, np.where(is_high, -radix[:, None], -1)


def _spread(digits: IndexArray, first: IndexArray, room: int, size: int) -> IndexArray:
    """Return digits ``(windows, C)`` cut to fill byte after byte, from the ``first`` on."""
    ends = digits.cumsum(axis=0)
    floor = room * (np.arange(size)[:, None] - first)[:, None, :]
    filled = np.minimum(ends, floor + room) - np.maximum(ends - digits, floor)
    return np.where(floor >= 0, np.maximum(filled, 0), 0)
