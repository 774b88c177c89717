r"""The integers of a quantized model, found again in the weights that they became.

A quantized layer has weights :math:`w = s k` with whole :math:`k` of a few bits, and scales
that are merged into a layer keep that: a row stays a whole multiple of one number. So the
integers need not be carried along; a row *is* a multiple of :math:`s` or it is not, whoever
made it.

With weights :math:`s k`, a constant :math:`\beta` and a threshold of 1, a neuron sends its
:math:`n`-th spike iff :math:`s S + \beta \ge n`, where :math:`S` is the whole sum of its
inputs. In integers, with :math:`\theta = 1 / s`,

.. math:: S \ge \lceil (n - \beta) \theta \rceil

For whole :math:`\theta` that is the rule of a neuron with threshold :math:`\theta` and constant
:math:`\lfloor \beta \theta \rfloor`, for every :math:`n`. For others it is, as long as the
rounded thresholds stay on the same side of all whole sums; else a few sums next to a threshold
get a level more or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.bounds import Layer

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_TOLERANCE = 1e-4
"""How far from a whole number a multiple of the step may be: what float32 has rounded."""

_WHOLE = 1e-6
"""How far a threshold may drift from its whole multiples, over all levels, in weight units."""

WHOLE_BIAS = 1e-6
"""How far a bias may be from a whole one, as a share of it: what float32 has rounded."""

_USUAL = 16
"""Share of all levels, one in so many, that rounded thresholds are most exact for: counts are
mostly small."""

_CHUNK = 32


@dataclass(frozen=True)
class Lattice:
    """Rows of weights as whole multiples of a step.

    Attributes:
        step: ``(C,)``, > 0; the coarsest that there is, 1 for rows of zeros.
        weights: Of each layer, in its shape.
    """

    step: Floats
    weights: tuple[Ints, ...]

    @property
    def largest(self) -> Ints:
        """Largest magnitude of each row, ``(C,)``, at least 1."""
        rows = [np.abs(weight).reshape(len(weight), -1).max(axis=1) for weight in self.weights]
        return np.maximum(np.max(rows, axis=0), 1)


def find_lattice(layers: Sequence[Layer], most: int) -> Lattice | None:
    """Return the weights of layers, whose sum is read, as integers of one step for each row.

    Args:
        layers: With as many rows each, in the same unit.
        most: Largest magnitude of an integer.

    Returns:
        `None` if a row is no multiple of anything.
    """
    step = np.ones(len(layers[0].weight))
    for index in range(len(step)):
        row = np.concatenate([layer.weight[index].ravel() for layer in layers])
        row = row.astype(np.float64)
        found = _step(row[row != 0], most)
        if found is None:
            return None
        step[index] = found
    weights = tuple(
        np.rint(layer.weight / step.reshape(-1, *(1,) * (layer.weight.ndim - 1))).astype(
            np.int64
        )
        for layer in layers
    )
    return Lattice(step, weights)


def _step(row: Floats, most: int) -> float | None:
    """Return the largest number that all of a row are multiples of, at most ``most``-fold."""
    if row.size == 0:
        return 1.0
    largest = np.abs(row).max()
    counts = np.arange(1, most + 1)
    for start in range(0, len(row), _CHUNK):
        multiples = row[start : start + _CHUNK, None] * (counts / largest)
        is_whole = np.abs(multiples - np.rint(multiples)) <= _TOLERANCE
        counts = counts[is_whole.all(axis=0)]
        if counts.size == 0:
            return None
    whole = np.rint(row * (counts[0] / largest))
    return float(row @ whole / (whole @ whole))


@dataclass(frozen=True)
class Thresholds:
    """Thresholds in integers, and how well they say those in real numbers.

    Attributes:
        threshold: ``(C,)``, >= 1.
        constant: ``(C, 1 or positions)``.
        error: ``(C,)``: how far a level lies from where it should, in levels, at most; 0 where
            every whole sum gets the same count.
    """

    threshold: Ints
    constant: Ints
    error: Floats


def whole_thresholds(
    exact: Floats, bias: Floats, initial: Floats, levels: int, unit: Ints
) -> Thresholds:
    """Round thresholds to integers.

    Args:
        exact: ``(C,)``: threshold in weight units, > 0.
        bias: ``(C, 1 or positions)``, in thresholds; in weight units it is taken as whole
            within `WHOLE_BIAS`.
        initial: ``(C,)``: membrane potential to start from, in thresholds.
        levels: Largest spike count.
        unit: ``(C,)``: what all sums of a channel are multiples of.
    """
    threshold = np.maximum(np.rint(exact), 1).astype(np.int64)
    sums = bias * exact[:, None]
    near = np.rint(sums)
    is_whole = np.abs(sums - near) <= WHOLE_BIAS * np.maximum(np.abs(sums), 1)
    sums = np.where(is_whole, near, sums)
    usual = levels / _USUAL
    wanted = sums + (initial * exact)[:, None]
    centred = wanted + usual * (threshold - exact)[:, None]
    constant = np.floor(centred + _WHOLE).astype(np.int64)
    drift = levels * np.abs(threshold - exact)
    error = np.where(drift <= _WHOLE, 0.0, (drift + 1) / exact)
    if constant.shape[1] == 1:
        error = error * _differs(threshold, exact, constant, wanted, levels, unit)
    return Thresholds(threshold, constant, error)


def _differs(
    threshold: Ints, exact: Floats, constant: Ints, wanted: Floats, levels: int, unit: Ints
) -> Bools:
    """Tell for which channels a whole sum gets another level than it should, ``(C,)``."""
    n = np.arange(1, levels + 1)
    ours = np.ceil((n * threshold[:, None] - constant) / unit[:, None])
    theirs = np.ceil((n * exact[:, None] - wanted) / unit[:, None] - _WHOLE)
    return np.any(ours != theirs, axis=1)
