"""Which floating-point type holds every sum of a layer of integers exactly.

No partial sum, in whatever order, exceeds the magnitudes of a row added up, times the largest
magnitude of what is read. Below 2**24 float32 holds all of them, and takes half the time.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.node import Array

Floats: TypeAlias = npt.NDArray[np.float64]

_FLOAT32_EXACT = 1 << 24


def exact_operands(weight: Array, x: Floats) -> tuple[Array, Array]:
    """Return weights ``(out, ...)`` and what they read in float32 where that changes nothing.

    Else, and where either are no integers, both in float64.
    """
    if weight.dtype.kind == "i" and weight.size and x.size:
        short = weight.astype(np.float32)
        row_sums = np.abs(short).reshape(len(short), -1).sum(axis=1)  # exact below the limit
        largest = float(row_sums.max()) * float(np.abs(x).max())
        if largest < _FLOAT32_EXACT and np.array_equal(x, np.rint(x)):
            return short, x.astype(np.float32)
    return weight.astype(np.float64, copy=False), x.astype(np.float64, copy=False)
