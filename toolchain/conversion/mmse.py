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

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.conversion import METHODS

_GRID = np.linspace(0.1, 1.0, 91)


@METHODS.register("mmse")
def mmse(activation: Activation, levels: int) -> npt.NDArray[np.float64]:
    """Choose each channel's threshold by the error of its staircase, the larger of equals."""
    best = np.full(len(activation.maximum), np.inf)
    thresholds = np.zeros(len(activation.maximum))
    for share in _GRID:
        candidate = share * activation.maximum / levels
        step = np.where(candidate > 0, candidate, 1.0)[:, None]
        staircase = step * np.clip(np.rint(activation.values / step), 0, levels)
        error = np.square(activation.values - staircase).mean(axis=1)
        thresholds = np.where(error <= best, candidate, thresholds)
        best = np.minimum(error, best)
    return thresholds
