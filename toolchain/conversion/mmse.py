r"""Thresholds that minimize the squared error of the staircase.

For activations :math:`a \ge 0` of a channel the threshold is

.. math::
    \theta = \arg\min_\theta \sum_a \left(a - \theta \,
        \mathrm{clip}(\mathrm{rint}(a / \theta), 0, L)\right)^2

over the hundredths of what `maximum` takes, from ten to all of them. The staircase rounds,
which a membrane that starts at half the threshold does.

The search passes over the activations once, not once for each candidate. The staircase rises
by :math:`\theta` where an activation passes :math:`b_j = (j - 1/2) \theta`, which lowers its
squared error by :math:`2 \theta (a - b_j)`, so the best threshold has the largest

.. math::
    2 \theta \sum_{j=1}^{L} T(b_j), \qquad T(b) = \sum_{a > b} (a - b)

With the largest activation cut into :math:`200 L` cells the threshold of :math:`h` hundredths
is :math:`2 h` cells, and every :math:`b_j` is the edge of a cell, :math:`h (2 j - 1)`. Number
and sum of the activations in each cell hence give all :math:`T(b_j)`, and nothing is
approximated.

With :math:`L \ge 50 \sqrt K` levels for :math:`K` activations up to :math:`M` there is nothing
to search. Steps of :math:`M / L` are off by :math:`K (M / 2 L)^2` in all at most, and smaller
ones by :math:`(M / 100)^2` at the largest activation alone, which is no less. (If that is not
among those that were kept, no more than the former is lost.)

Source: Li et al., "A Free Lunch From ANN: Towards Efficient, Accurate Spiking Neural Networks
Calibration", ICML 2021, section 3.3, with its grid; the half-threshold start is from Bu et al.,
"Optimized Potential Initialization for Low-Latency Spiking Neural Networks", AAAI 2022.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.conversion import METHODS

_GRID = np.linspace(0.1, 1.0, 91)[::-1]
_HUNDREDTHS = np.rint(100 * _GRID).astype(int)
_CELLS_PER_LEVEL = 200
_LEVELS_ENOUGH = 50
_BLOCK_VALUES = 1 << 16
"""Values are put into cells in blocks of this size, which stay in the caches."""

Floats: TypeAlias = npt.NDArray[np.float64]


@METHODS.register("mmse")
def mmse(activation: Activation, levels: int) -> Floats:
    """Choose each channel's threshold by the error of its staircase, the larger of equals."""
    if levels >= _LEVELS_ENOUGH * np.sqrt(activation.values.shape[1]):
        return activation.maximum / levels
    rises = _HUNDREDTHS[:, None] * (2 * np.arange(levels) + 1)
    cells = _CELLS_PER_LEVEL * levels
    thresholds = np.zeros(len(activation.maximum))
    for channel, maximum in enumerate(activation.maximum):
        if 0 < maximum < np.inf:
            above = _sums_above_edges(activation.values[channel], maximum / cells, cells)
            gains = _HUNDREDTHS * above[rises].sum(axis=1)
            thresholds[channel] = _GRID[gains.argmax()] * maximum / levels
    return thresholds


def _sums_above_edges(values: npt.NDArray[np.float32], width: float, cells: int) -> Floats:
    """Return by how much values are above each edge, added up, in cells, ``(cells + 1,)``.

    Args:
        values: ``(K,)``, 0 to ``cells * width``.
        width: Of a cell; > 0.
        cells: How many there are; the values at the last edge have one more.
    """
    numbers, sums = np.zeros(cells + 1), np.zeros(cells + 1)
    for start in range(0, len(values), _BLOCK_VALUES):
        x = values[start : start + _BLOCK_VALUES].astype(np.float64) / width
        cell = np.minimum(x.astype(np.intp), cells)
        numbers += np.bincount(cell, minlength=cells + 1)
        sums += np.bincount(cell, x, minlength=cells + 1)
    numbers, sums = (found[::-1].cumsum()[::-1] for found in (numbers, sums))
    return sums - numbers * np.arange(cells + 1)
