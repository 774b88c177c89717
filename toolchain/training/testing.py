"""The neuron written down step by step, to test and to time the fast one against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.training._torch import torch

Floats = npt.NDArray[np.float64]


def multi_threshold_reference(
    x: Floats,
    mixing: Floats,
    *,
    levels: int,
    threshold: float,
    retention: float = 1.0,
    initial: float = 0.0,
) -> Floats:
    """Return the spike counts ``(windows, ...)`` of the neuron, in plain numpy and float64."""
    v = np.full(x.shape[1:], float(initial))
    counts = []
    for row in mixing:
        a = sum(weight * current for weight, current in zip(row, x, strict=True))
        m = retention * v + a
        s = np.clip(np.floor(m / threshold), 0, levels)
        v = m - s * threshold
        counts.append(s)
    return np.stack(counts)


class _Staircase(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Any, threshold: float, levels: int) -> Any:
        """Return ``spike count * threshold``."""
        ctx.save_for_backward(m)
        ctx.threshold, ctx.levels = threshold, levels
        return torch.clamp(torch.floor(m / threshold), 0, levels) * threshold

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """Return the gradient through the ramp."""
        (m,) = ctx.saved_tensors
        low, high = 0.5 * ctx.threshold, (ctx.levels + 0.5) * ctx.threshold
        return g * ((m >= low) & (m <= high)).to(g.dtype), None, None


def published_neuron(
    x: Any, mixing: Any, retention: Any, *, threshold: float, levels: int, initial: float = 0.0
) -> Any:
    """Return ``spike count * threshold`` as the paper's equations say it, one after another.

    Args:
        x: ``(windows, batch, *shape)``.
        mixing: ``(windows, windows)``, a tensor.
        retention: A tensor without axes.
        threshold: > 0.
        levels: >= 1.
        initial: Membrane potential before the first window.
    """
    weights = mixing.reshape(*mixing.shape, *(1 for _ in x.shape[1:]))
    v = torch.full_like(x[0], initial)
    outputs = []
    for row in weights:
        m = retention * v.detach() + (row * x).sum(dim=0)
        y = _Staircase.apply(m, threshold, levels)
        v = m - y.detach()
        outputs.append(y)
    return torch.stack(outputs)
