"""Which floating-point type holds every sum of a layer of integers exactly.

No partial sum, in whatever order, exceeds the magnitudes of a row added up, times the largest
magnitude of what is read. Below 2**24 float32 holds all of them, and takes half the time. The
bias counts as one more of a row. Rows are added up only where the largest weight alone, in all
places of a row, does not say it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.node import Array

Values: TypeAlias = npt.NDArray[Any]
Kind: TypeAlias = type[np.floating[Any]]

_FLOAT32_EXACT = 1 << 24
_NONE = np.zeros((), np.int64)


def exact_kind(weight: Array, x: Values, bias: Array = _NONE) -> Kind:
    """Return float32 where it holds every sum of ``weight`` ``(out, ...)`` and ``x``.

    Else, and where any are no integers, float64.
    """
    if weight.dtype.kind == "i" and _is_whole(bias) and weight.size and x.size:
        reach, most = _magnitude(x), _magnitude(bias)

        def fits(row_sum: float) -> bool:
            return row_sum * reach + most < _FLOAT32_EXACT

        is_small = fits(_magnitude(weight) * weight[0].size) or fits(_largest_row_sum(weight))
        if is_small and _is_whole(x):
            return np.float32
    return np.float64


def _magnitude(x: Values) -> float:
    return max(abs(float(x.min())), abs(float(x.max())))


def _largest_row_sum(weight: Array) -> float:
    """Return the largest sum of magnitudes of a row, exact below the limit."""
    rows = np.abs(weight.astype(np.float32)).reshape(len(weight), -1)
    return float(rows.sum(axis=1).max())


def _is_whole(x: Values) -> bool:
    return x.dtype.kind != "f" or bool(np.array_equal(x, np.rint(x)))
