"""Conversion methods, one published method per file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Activation
from toolchain.registry import Registry

Method: TypeAlias = Callable[[Activation, int], npt.NDArray[np.float64]]
"""Choose the threshold ``(C,)`` of each channel for a number of levels, in activation units.

A neuron of that threshold counts ``rint(activation / threshold)``, at most ``levels``. Returns
0 for a channel that is never active.
"""

METHODS: Registry[Method] = Registry("method", "toolchain.conversion")
