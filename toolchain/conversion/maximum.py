"""Thresholds from the largest activation: nothing is clipped on the calibration samples.

Source: Diehl et al., "Fast-Classifying, High-Accuracy Spiking Deep Networks Through Weight and
Threshold Balancing", IJCNN 2015 (model-based and data-based normalization); per channel here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.conversion import METHODS


@METHODS.register("maximum")
def maximum(activation: Activation, levels: int) -> npt.NDArray[np.float64]:
    """Put the highest level at the largest activation."""
    return activation.maximum / levels
