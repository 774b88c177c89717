r"""Thresholds that minimize the squared error of the staircase.

For activations :math:`a \ge 0` of a channel the threshold is

.. math::
    \theta = \arg\min_\theta \sum_a \left(a - \theta \,
        \mathrm{clip}(\mathrm{rint}(a / \theta), 0, L)\right)^2

over a grid between a tenth of the largest activation and all of it. The staircase rounds, which
a membrane that starts at half the threshold does.

Source: Li et al., "A Free Lunch From ANN: Towards Efficient, Accurate Spiking Neural Networks
Calibration", ICML 2021, section 3.3, with its grid; the half-threshold start is from Bu et al.,
"Optimized Potential Initialization for Low-Latency Spiking Neural Networks", AAAI 2022.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.conversion import METHODS
from toolchain.cores import cores

_GRID = np.linspace(0.1, 1.0, 91)
_BLOCK_VALUES = 1 << 15
"""Channels are searched in blocks of about so many values, which stay in the caches; blocks are
searched side by side."""

Floats: TypeAlias = npt.NDArray[np.float64]


@METHODS.register("mmse")
def mmse(activation: Activation, levels: int) -> Floats:
    """Choose each channel's threshold by the error of its staircase, the larger of equals."""
    channels, per_channel = activation.values.shape
    block = max(1, _BLOCK_VALUES // max(per_channel, 1))
    blocks = [slice(start, start + block) for start in range(0, channels, block)]

    def search(rows: slice) -> Floats:
        return _search(activation.values[rows], activation.maximum[rows], levels)

    with ThreadPoolExecutor(min(cores(), len(blocks))) as pool:
        return np.concatenate(list(pool.map(search, blocks)))


def _search(values: npt.NDArray[np.float32], maximum: Floats, levels: int) -> Floats:
    """Return the thresholds of some channels."""
    best = np.full(len(maximum), np.inf)
    thresholds = np.zeros(len(maximum))
    staircase = np.empty(values.shape)
    for share in _GRID:
        candidate = share * maximum / levels
        step = np.where(candidate > 0, candidate, 1.0)[:, None]
        np.divide(values, step, out=staircase)
        np.rint(staircase, out=staircase)
        np.minimum(staircase, levels, out=staircase)  # activations are never below 0
        staircase *= step
        staircase -= values
        error = np.square(staircase, out=staircase).mean(axis=1)
        thresholds = np.where(error <= best, candidate, thresholds)
        best = np.minimum(error, best)
    return thresholds
