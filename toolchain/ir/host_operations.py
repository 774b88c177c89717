"""What the host computes of the outputs, after the chip."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import SMOOTH_ON_HOST, HostOp
from toolchain.ir.curve import X

Floats: TypeAlias = npt.NDArray[np.float64]


def on_host(step: HostOp, x: Floats) -> Floats:
    """Return what the host makes of outputs ``(batch, *shape)``."""
    axis = tuple(range(1, x.ndim)) if step.axis is None else step.axis + 1
    if step.function == "relu":
        return np.maximum(x, 0)
    if step.function in SMOOTH_ON_HOST:
        return X.then(step.function)(x)
    if step.function == "affine":
        return step.factor * x + step.shift
    if step.function == "round":
        return np.clip(np.rint(x), step.low, step.high)
    if step.function == "argmax":
        keep = step.keep_axis and step.axis is not None
        return x.argmax(axis=1 if step.axis is None else step.axis + 1, keepdims=keep).astype(
            float
        )
    shifted = x - x.max(axis=axis, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return log if step.function == "log-softmax" else np.exp(log)
