"""Thresholds from a high percentile of the activations.

The largest activation is often an outlier that makes the levels coarse for all others. Clipping
what lies above the 99.9th percentile costs less than it gains.

Source: Rueckauer et al., "Conversion of Continuous-Valued Deep Networks to Efficient
    Event-Driven Networks for Image Classification", Front. Neurosci. 11:682, 2017, section
    2.2.2; per channel here instead of per layer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.conversion import METHODS

_PERCENTILE = 99.9


@METHODS.register("percentile")
def percentile(activation: Activation, levels: int) -> npt.NDArray[np.float64]:
    """Put the highest level at the 99.9th percentile of the activations above 0."""
    top = np.array([_top(values[values > 0]) for values in activation.values])
    return np.where(top > 0, top, activation.maximum) / levels


def _top(active: npt.NDArray[np.float32]) -> float:
    return float(np.percentile(active, _PERCENTILE)) if active.size else 0.0
