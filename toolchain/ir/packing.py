"""Several arrays of the same samples as one: flattened, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from toolchain.ir.node import Shape

Scalar = TypeVar("Scalar", bound=np.generic)


def packed_shape(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of arrays of the given shapes as one."""
    return shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)


def pack(parts: Sequence[npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
    """Return arrays ``(samples, ...)`` as one: a single one as it is, several flattened."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def unpack(array: npt.NDArray[Scalar], shapes: Sequence[Shape]) -> list[npt.NDArray[Scalar]]:
    """Return the arrays ``(samples, *shape)`` that `pack` has made one of."""
    if len(shapes) == 1:
        return [array]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(array, ends[:-1], axis=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
