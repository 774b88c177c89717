"""Integers in the narrowest type that holds them and their negatives.

Weights are most of a network, and a byte holds one of them. Sums of narrow integers do not fit
their type: whoever computes with them widens one layer at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def narrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``array`` in the narrowest signed type for its integers, others as they are.

    The lowest number of a type has no negative in it and takes the next wider one, so that
    magnitudes and changes of sign are safe.
    """
    if array.dtype.kind not in "iu" or array.size == 0:
        return array
    largest = max(int(array.max()), -int(array.min()))
    kinds = (np.int8, np.int16, np.int32)
    narrow = next((kind for kind in kinds if largest <= np.iinfo(kind).max), None)
    return array if narrow is None else array.astype(narrow, copy=False)
