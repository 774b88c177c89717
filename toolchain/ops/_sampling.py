r"""Where the elements of a resized axis lie among those it is made of, and with which weights.

Element :math:`i` of the result lies at :math:`x_i` in units of the source's spacing. With a
ratio of :math:`p / q` of the lengths, in lowest terms, that is

.. math:: p \, x_i = q i + c

where :math:`c = (q - p) / 2` if the pixels' middles are compared, 0 if their corners are. So
between sources :math:`p` apart, with zeros between them, the weights
:math:`w(x_i - j)` of source :math:`j` are one kernel that moves on by :math:`q`. Beyond the
ends the last source is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toolchain.ir.node import Array, IndexArray

_CENTERED = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
COORDINATES = (*_CENTERED, "asymmetric", "align_corners")


@dataclass(frozen=True)
class Curve:
    """How the weight of a source falls with its distance.

    Attributes:
        weight: Of the distance, in units of the source's spacing.
        reach: Distance from which on the weight is 0.
    """

    weight: Callable[[Fraction], Fraction]
    reach: int


def linear() -> Curve:
    """Return the curve that joins neighbours by straight lines."""
    return Curve(lambda distance: max(1 - abs(distance), Fraction(0)), 1)


def cubic(a: Fraction) -> Curve:
    """Return the cubic convolution of slope ``a`` at distance 1.

    Source: Keys, Cubic convolution interpolation for digital image processing, 1981, as ONNX
    has it in `Resize`.
    """

    def weight(distance: Fraction) -> Fraction:
        d = abs(distance)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else Fraction(0)

    return Curve(weight, 2)


@dataclass(frozen=True)
class Sampling:
    """Elements of one axis of a result, among those of its source.

    Attributes:
        source: Length of the source.
        length: Of the result.
        ratio: p / q, result to source.
        start: c.
    """

    source: int
    length: int
    ratio: Fraction
    start: Fraction

    @property
    def is_identity(self) -> bool:
        """Whether the result is the source."""
        return self.source == self.length and self.ratio == 1 and self.start == 0

    def places(self) -> Array:
        """Return the place of each element of the result, in float32 as runtimes have it."""
        scale = np.float32(self.ratio)
        half = np.float32(0.5 if self.start != 0 else 0)
        i = np.arange(self.length, dtype=np.float32)
        return np.asarray((i + half) / scale - half)

    def kernel(self, curve: Curve) -> tuple[int, Array]:
        """Return the first tap, in p-ths of the source's spacing from q i, and all weights."""
        p = self.ratio.numerator
        first = math.floor(self.start - p * curve.reach) + 1
        last = math.ceil(self.start + p * curve.reach) - 1
        taps = [curve.weight((self.start - k) / p) for k in range(first, last + 1)]
        return first, np.array(taps, np.float64)

    def choice(self, curve: Curve) -> IndexArray | None:
        """Return which source each element is, `None` if some lie between two."""
        if self.source == 1:
            return np.zeros(self.length, np.int64)
        first, kernel = self.kernel(curve)
        if np.count_nonzero(kernel) > 1:
            return None
        places = self.sources(first + int(kernel.argmax()), 1)
        return places[:: self.ratio.denominator]

    def sources(self, first: int, taps: int) -> IndexArray:
        """Return what the kernel moves over: sources p apart, -1 for the zeros between them."""
        p, q = self.ratio.numerator, self.ratio.denominator
        grid = np.arange(first, first + q * (self.length - 1) + taps)
        return np.where(grid % p, -1, np.clip(grid // p, 0, self.source - 1))

    def moved_over(self, curve: Curve) -> tuple[IndexArray, Array]:
        """Return what the kernel moves over, and its weights; the source itself if it can."""
        first, kernel = self.kernel(curve)
        p, q = self.ratio.numerator, self.ratio.denominator
        room = self.source - q * (self.length - 1)
        if p > 1 or first < 0 or first + len(kernel) > room:
            return self.sources(first, len(kernel)), kernel
        padded = np.zeros(room)
        padded[first : first + len(kernel)] = kernel
        return np.arange(self.source), padded

    def matrix(self, curve: Curve) -> Array:
        """Return the weights ``(length, source)``."""
        first, kernel = self.kernel(curve)
        sources = self.sources(first, len(kernel))
        weight = np.zeros((self.length, self.source))
        for i, row in enumerate(weight):
            here = sources[i * self.ratio.denominator :][: len(kernel)]
            np.add.at(row, here[here >= 0], kernel[here >= 0])
        return weight


def sampling(source: int, length: int, ratio: Fraction, coordinates: str) -> Sampling:
    """Return how an axis is sampled.

    Args:
        source: Length of the source.
        length: Of the result.
        ratio: Of the result to the source, as the model asks for it.
        coordinates: One of `COORDINATES`.
    """
    if coordinates == "align_corners":
        ratio = Fraction(max(length - 1, 1), max(source - 1, 1))
        ratio = ratio if source > 1 and length > 1 else Fraction(1)
    is_centered = coordinates in _CENTERED
    if coordinates == "pytorch_half_pixel" and length == 1:
        is_centered = False
    start = Fraction(ratio.denominator - ratio.numerator, 2) if is_centered else Fraction(0)
    return Sampling(source, length, ratio, start)
