"""How the simulator lays neurons out in memory: one row per sample, channels last.

Everybody else indexes a population channel-first. Inside, ``(C, H, W)`` is held as ``(H, W,
C)`` and
flattened: a convolution then reads its patches in long runs, and all else is elementwise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.errors import VerifyError
from toolchain.ir.mapped import Shape


def to_rows(x: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return ``(..., *shape)`` as ``(..., neurons)``, channels last."""
    lead = x.shape[: x.ndim - len(shape)]
    if len(shape) == 3:
        x = np.moveaxis(x, -3, -1)
    return x.reshape(*lead, math.prod(shape))


def from_rows(rows: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return ``(..., neurons)`` as ``(..., *shape)``; the inverse of `to_rows`, a view."""
    lead = rows.shape[:-1]
    if len(shape) != 3:
        return rows.reshape(*lead, *shape)
    channels, height, width = shape
    return np.moveaxis(rows.reshape(*lead, height, width, channels), -1, -3)


def row_order(shape: Shape) -> npt.NDArray[np.int64]:
    """Return the channel-first flat index of every position in a row."""
    order: npt.NDArray[np.int64] = to_rows(np.arange(math.prod(shape)).reshape(shape), shape)
    return order


def parameter(
    value: int | npt.NDArray[np.int64], shape: Shape, node: str, what: str
) -> int | npt.NDArray[np.int64]:
    """Return a parameter of a population as one number, or as a row.

    Raises:
        VerifyError: An array does not broadcast to ``shape``.
    """
    array = np.asarray(value, np.int64)
    if array.size == 1:
        return int(array.reshape(()))
    try:
        return to_rows(np.broadcast_to(array, shape), shape)
    except ValueError as error:
        raise VerifyError(
            f"{what} has shape {array.shape}, which does not broadcast to {shape}", node=node
        ) from error
