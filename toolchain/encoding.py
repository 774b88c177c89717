"""Choose the integers that stand for a sample: its own steps where it has them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Encoding

_BITS = 8
_NATURAL_STEPS = (1.0, 1 / 255, 1 / 256, 1 / 128, 1 / 127)
_TOLERANCE = 1e-5


def choose_encoding(x: npt.NDArray[np.generic]) -> Encoding:
    """Return an encoding of at most 8 bits for data like ``x``.

    Where ``x`` consists of whole steps, as pixels 0..255 or pixels / 255 do, those steps are
    the scale and nothing is lost. Otherwise the largest magnitude becomes the largest integer.
    Data that are never negative get no sign.
    """
    values = np.asarray(x, np.float64)
    low_end, high_end = min(values.min(), 0.0), values.max()
    largest = max(-low_end, high_end)
    limit = 2 ** (_BITS - (low_end < 0)) - 1
    if largest == 0:
        return Encoding(1.0, 0, 1)
    scale = next(
        (step for step in _NATURAL_STEPS if _is_whole(values / step, limit)), largest / limit
    )
    high = 2 ** int(np.rint(largest / scale)).bit_length() - 1
    return Encoding(scale, -high if low_end < 0 else 0, high)


def _is_whole(steps: npt.NDArray[np.float64], limit: int) -> bool:
    rounded = np.rint(steps)
    close = np.abs(steps - rounded) <= _TOLERANCE * np.maximum(1, np.abs(rounded))
    return bool(1 <= np.abs(rounded).max() <= limit and close.all())
