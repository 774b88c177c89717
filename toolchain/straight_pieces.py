r"""Functions of one variable as sums of capped rectifiers.

A continuous function of straight pieces is

.. math::
    \hat f(x) = c + \sum_k s_k \, \mathrm{clip}(d_k x - b_k, 0, w_k), \qquad d_k = \pm 1,

where the last piece on a side on which :math:`f` becomes a line has no limit. Pieces start at 0
where :math:`f(0) = 0`, to the right and to the left, so that :math:`\hat f(0) = 0` and small
values cost few spikes; else, and where it takes fewer, they start at the left, if :math:`f` is
0 there. A function that is neither 0 at 0 nor far left starts from the level it has there.

**Fit.** For a tolerance :math:`e` each piece goes as far as a straight line stays within
:math:`e` of :math:`f`: from :math:`(u_0, y_0)` the slopes that do, up to :math:`u`, are

.. math::
    \max_{v \le u} \frac{f(v) - e - y_0}{v - u_0} \le s \le
    \min_{v \le u} \frac{f(v) + e - y_0}{v - u_0},

and the piece ends where there is none left. The last one meets the line that :math:`f` becomes.
The smallest tolerance for which there are few enough pieces is found by bisection. Nothing here
depends on samples, so the same function has the same pieces in every network.

Source: the cone of slopes is that of the "swinging door" of data compression (Bristol,
"Swinging door trending", ISA 1990), here on a function, with continuous pieces.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.curve import Curve

Floats: TypeAlias = npt.NDArray[np.float64]

PIECES = 5
"""Pieces of a function where nothing else is asked for: decision 22 has the measurement."""
PIECES_MIN, PIECES_MAX = 2, 32

_FAR = 2.0**20
_NEAR = 1e-5
_FINEST = 1e-6
_JUMP_MAX = 16.0
_LINEAR_POINTS, _LINEAR_END, _FAR_POINTS = 4096, 16.0, 1024
_MEASURED_POINTS = 100_003
_BISECTIONS = 30


@dataclass(frozen=True)
class Piece:
    """``slope * clip(direction * x - start, 0, width)``.

    Attributes:
        direction: 1, or -1 for a piece that reads ``-x``.
        start: Where it begins to rise, in ``direction * x``.
        width: How far it does; infinite for the last on its side of a function that becomes a
            line there.
        slope: What it is multiplied by.
    """

    direction: int
    start: float
    width: float
    slope: float


@dataclass(frozen=True)
class Pieces:
    """A function as a sum of pieces.

    Attributes:
        constant: Added to them.
        pieces: The pieces.
        error: Largest difference from the function: the largest on a grid, and what it may
            grow by between two points.
    """

    constant: float
    pieces: tuple[Piece, ...]
    error: float = 0.0

    def __call__(self, x: Floats) -> Floats:
        """Return their sum."""
        y = np.full(np.shape(x), self.constant)
        for piece in self.pieces:
            y += piece.slope * np.clip(piece.direction * x - piece.start, 0, piece.width)
        return y

    def rising(self) -> Pieces | None:
        """Return the same sum with all pieces reading ``x``; `None` if one has no limit.

        ``clip(-x - b, 0, w) = w - clip(x + b + w, 0, w)``.
        """
        constant, turned = self.constant, list[Piece]()
        for piece in self.pieces:
            if piece.direction > 0:
                turned.append(piece)
                continue
            if math.isinf(piece.width):
                return None
            constant += piece.slope * piece.width
            turned.append(Piece(1, -piece.start - piece.width, piece.width, -piece.slope))
        return Pieces(constant, tuple(turned), self.error)


@dataclass(frozen=True)
class _Line:
    """What a function becomes far out: ``slope * u + level``."""

    slope: float
    level: float

    def __call__(self, u: Floats) -> Floats:
        return self.slope * u + self.level


@dataclass(frozen=True)
class _Side:
    """A function on one side, for ``u`` from left to right.

    Attributes:
        direction: ``x = direction * u``.
        u: Points, increasing.
        f: Values there.
        line: What it becomes behind the last.
    """

    direction: int
    u: Floats
    f: Floats
    line: _Line

    def pieces(self, start: float, value: float, error: float, most: int) -> list[Piece] | None:
        """Return pieces from a point on; `None` if ``most`` are not enough."""
        is_near = np.abs(self.f - self.line(self.u)) <= error
        joins_from = len(is_near) - int(np.argmin(is_near[::-1])) if not is_near.all() else 0
        made: list[Piece] = []
        first = int(np.searchsorted(self.u, start, side="right"))
        while not self._is_on_line(start, value, first >= joins_from):
            if len(made) >= most or first >= len(self.u):
                return None
            end, slope, first = self._longest(start, value, first, joins_from, error)
            if end <= start:
                return None
            made.append(Piece(self.direction, start, end - start, slope))
            start, value = end, value + slope * (end - start)
        if self.line.slope:
            made.append(Piece(self.direction, start, math.inf, self.line.slope))
        kept = [piece for piece in made if piece.slope]
        return kept if len(kept) <= most else None

    def _is_on_line(self, u: float, value: float, is_near: bool) -> bool:
        there = self.line.slope * u + self.line.level
        return is_near and abs(value - there) <= _FINEST

    def _longest(
        self, start: float, value: float, first: int, joins_from: int, error: float
    ) -> tuple[float, float, int]:
        """Return the end of the longest piece, its slope, and the first point behind it."""
        u, f = self.u[first:], self.f[first:]
        low = np.maximum.accumulate((f - error - value) / (u - start))
        high = np.minimum.accumulate((f + error - value) / (u - start))
        reach = int(np.argmax(low > high)) if bool(np.any(low > high)) else len(u)
        if not reach:
            return start, 0.0, first
        to_line = (self.line(u) - value) / (u - start)
        meets = (to_line >= low) & (to_line <= high) & (np.arange(len(u)) + first >= joins_from)
        meets[reach:] = False
        if meets.any():
            place = int(np.argmax(meets))
            return float(u[place]), float(to_line[place]), first + place + 1
        place = reach - 1
        return float(u[place]), float(low[place] + high[place]) / 2, first + place + 1


@functools.lru_cache(maxsize=256)
def fit_pieces(curve: Curve, most: int = PIECES) -> Pieces | None:
    """Return a function as straight pieces; `None` if it does not become lines far out.

    Args:
        curve: The function.
        most: Number of pieces, `PIECES_MIN` to `PIECES_MAX`; a function that has lines on both
            sides may need more than the fewest.
    """
    lines = _line(curve, -1), _line(curve, 1)
    if lines[0] is None or lines[1] is None:
        return None
    sides = [_side(curve, -1, lines[0]), _side(curve, 1, lines[1])]
    tried = (_Fit(curve, *sides).best(count) for count in range(most, PIECES_MAX + 1))
    fitted = next(filter(None, tried), None)
    if fitted is None:
        return None
    far = np.linspace(-sides[0].u[-1], sides[1].u[-1], _MEASURED_POINTS)
    near = np.linspace(-_LINEAR_END, _LINEAR_END, _MEASURED_POINTS)
    error = max(_largest(curve(x) - fitted(x)) for x in (far, near))
    return Pieces(fitted.constant, fitted.pieces, error)


def becomes_lines(curve: Curve) -> bool:
    """Tell whether a function has no pole, and is a line far out on both sides."""
    return _line(curve, -1) is not None and _line(curve, 1) is not None


def never_falls(curve: Curve) -> bool:
    """Tell whether a function is nowhere lower than further left."""
    x = np.concatenate([_points()[::-1] * -1, [0.0], _points()])
    return bool(np.all(np.diff(curve(x)) >= -_FINEST * 1e-3))


def _largest(difference: Floats) -> float:
    """Return the largest magnitude at points of a grid and, by the steps there, between."""
    between = np.abs(np.diff(difference)).max() / 2
    return float(np.abs(difference).max() + between)


@dataclass(frozen=True)
class _Fit:
    curve: Curve
    left: _Side
    right: _Side

    def best(self, most: int) -> Pieces | None:
        """Return the pieces of the smallest tolerance that needs no more than ``most``."""
        low, high = _FINEST, 1.0
        found = self.at(high, most)
        while found is None:
            high *= 4
            if high > _FAR:
                return None
            found = self.at(high, most)
        if (exact := self.at(low, most)) is not None:
            return exact
        for _ in range(_BISECTIONS):
            middle = math.sqrt(low * high)
            better = self.at(middle, most)
            low, high = (low, middle) if better is not None else (middle, high)
            found = better or found
        return found

    def at(self, error: float, most: int) -> Pieces | None:
        """Return pieces that stay within an error; `None` if ``most`` are not enough."""
        found = self._from_zero(error, most)
        is_silent_at_left = self.left.line == _Line(0.0, 0.0)
        if found is None and (is_silent_at_left or self._leaves_a_level):
            return self._from_left(error, most)
        return found

    @property
    def _leaves_a_level(self) -> bool:
        """Whether the function is flat far left, and has another value than 0 at 0."""
        zero = float(self.curve(np.zeros(())))
        return abs(zero) > _FINEST and not self.left.line.slope

    def _from_zero(self, error: float, most: int) -> Pieces | None:
        """Return pieces that start at 0 in both directions."""
        if self._leaves_a_level:
            return None
        zero = float(self.curve(np.zeros(())))
        left = self.left.pieces(0.0, zero, error, most)
        right = self.right.pieces(0.0, zero, error, most)
        if left is None or right is None or len(left) + len(right) > most:
            return None
        return Pieces(zero, (*left, *right))

    def _from_left(self, error: float, most: int) -> Pieces | None:
        """Return pieces that start where the function leaves what it is far left."""
        level = self.left.line.level
        u = np.concatenate([-self.left.u[::-1], [0.0], self.right.u])
        f = self.curve(u)
        leaves = (np.abs(f - level) > error) | (u > 0)
        start = float(u[int(np.argmax(leaves)) - 1])
        found = _Side(1, u, f, self.right.line).pieces(start, level, error, most)
        return None if found is None else Pieces(level, tuple(found))


def _line(curve: Curve, direction: int) -> _Line | None:
    """Return the line that a function becomes, in ``u = direction * x``."""
    u = _FAR * np.array([1.0, 2.0, 4.0])
    f = curve(direction * u)
    near = curve(direction * np.insert(_points(), 0, 0.0))
    if not (np.isfinite(f).all() and np.isfinite(near).all()):
        return None
    if np.abs(np.diff(near[:_LINEAR_POINTS])).max() > _JUMP_MAX:
        return None
    bend = abs((f[2] - f[1]) - 2 * (f[1] - f[0]))
    if bend > _NEAR + 1e-9 * abs(f[2]):
        return None
    slope = float((f[2] - f[1]) / (u[2] - u[1]))
    if abs(slope) < _FINEST:
        return _Line(0.0, _tidy(float(f[2])))
    return _Line(slope, _tidy(float(f[2] - slope * u[2])))


def _tidy(level: float) -> float:
    """Return a level without the rounding error of far points."""
    return round(level, 6)


def _points() -> Floats:
    near = np.linspace(0, _LINEAR_END, _LINEAR_POINTS + 1)[1:]
    far = np.geomspace(_LINEAR_END, _FAR, _FAR_POINTS)[1:]
    return np.concatenate([near, far])


def _side(curve: Curve, direction: int, line: _Line) -> _Side:
    u = _points()
    f = curve(direction * u)
    off = np.abs(f - line(u)) > 10 * _NEAR
    last = int(np.flatnonzero(off)[-1]) + 2 if off.any() else len(u)
    last = max(last, int(np.searchsorted(u, 8.0)))
    return _Side(direction, u[:last], f[:last], line)
