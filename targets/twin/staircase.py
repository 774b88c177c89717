r"""The scale with which a rounded product is the staircase of a neuron, proved.

A quantized layer of ONNX turns its sum into ``saturate(rint(float32(sum) * scale))``. With
``floor(threshold / 2)`` taken off the sum, that is to be ``floor(m / threshold)`` for every
potential ``m`` up to the highest level. Each step of it never falls as the sum grows: the
conversion, the product with a positive scale, the rounding. A function that never falls equals
the staircase everywhere if it does on both sides of every step, so checking these two sums of
each step, in the same float32 arithmetic, is a proof for all sums.

The scale is ``1 / threshold``, or a little more: where the threshold is even, a step is half
way between two integers, and there the product must come out above.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.ir.node import Array

_STEPS_UP = 4


def staircase_scale(threshold: Array, levels: int) -> npt.NDArray[np.float32] | None:
    """Return the scale of each channel, or `None` if one has none.

    Args:
        threshold: ``(C,)``, integers, >= 1.
        levels: Highest level, 1 to 255.
    """
    distinct, channels = np.unique(threshold, return_inverse=True)
    if int(distinct.max()) * levels >= 2**31:
        return None
    scale = (1.0 / distinct).astype(np.float32)
    found = np.zeros_like(scale)
    for _ in range(_STEPS_UP):
        right = _climbs(distinct, scale, levels) & (found == 0)
        found[right] = scale[right]
        scale = np.nextafter(scale, np.float32(np.inf))
    return found[channels] if found.all() else None


def near_ties(threshold: Array, levels: int) -> npt.NDArray[np.int64]:
    """Return the sums at which each step begins, ``(levels, C)``; one less is below it."""
    steps = np.arange(1, levels + 1)[:, None]
    return steps * threshold.astype(np.int64) - threshold.astype(np.int64) // 2


def _climbs(threshold: Array, scale: npt.NDArray[np.float32], levels: int) -> Array:
    """Tell which thresholds have every step where it belongs."""
    begins, steps = near_ties(threshold, levels), np.arange(1, levels + 1)[:, None]
    reached = np.rint(begins.astype(np.float32) * scale)
    before = np.rint((begins - 1).astype(np.float32) * scale)
    return ((reached == steps) & (before == steps - 1)).all(axis=0)
