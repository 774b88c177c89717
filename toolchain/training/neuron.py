r"""The multi-threshold neuron as a torch module, with the gradients as published.

With x the input current of every window, bias included::

    A(t) = sum_j mixing[t, j] * x(j)
    m(t) = retention * v(t-1) + A(t)
    s(t) = clip(floor(m(t) / threshold), 0, levels)
    v(t) = m(t) - s(t) * threshold
    y(t) = s(t) * threshold                                  what the next layer reads

Backwards the staircase is a ramp, :math:`\partial y / \partial m = 1` where
:math:`\theta/2 \le m \le (L + 1/2)\,\theta` and 0 elsewhere, and no gradient runs through the
membrane potential: neither through v(t-1) in the second line nor through s(t) in the fourth.
With g(t) = dL/dy(t) and d(t) = g(t) * ramp(t)::

    dL/dx(j)          = sum_t mixing[t, j] * d(t)
    dL/dmixing[t, j]  = d(t) . x(j)
    dL/dretention     = sum_t d(t) . v(t-1)

So time is crossed by ``mixing`` alone. Because all of this is known beforehand, forward and
backward are one `torch.autograd.Function` that keeps three tensors per layer, instead of a
graph of a dozen small steps for every window.

Source: LM-HT (Hao et al., NeurIPS 2024), equations 5 to 9. The released code lets ``retention``
reach 1.5; here it ends at 1, which is what a membrane register can hold. The released code
takes 2 or 4 levels; here it is any number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toolchain.errors import TrainingError
from toolchain.training._torch import nn, torch
from toolchain.training.mixing import Mixing

SATURATION = 2.0
"""What a neuron sends at most in direct training, ``levels * threshold``, as published."""

_NO_DECAY, _FULL_DECAY = 1.0, 0.5
_FAR = 40.0
"""The sigmoid of minus this is below the resolution of float32 at 0.5."""


def default_threshold(levels: int) -> float:
    """Return the published threshold of direct training: 2/levels, and 1 for one level."""
    return 1.0 if levels == 1 else SATURATION / levels


class MultiThreshold(nn.Module):
    """Neurons with several thresholds, mixing over windows and a learned leak.

    Reads and returns ``(windows, batch, *shape)``, for any ``shape``: ``(N,)`` behind dense
    layers, ``(C, H, W)`` behind convolutions, ``(tokens, N)``. A window axis of length 1 is an
    input that is the same in every window. Returns ``spike count * threshold``.

    Args:
        levels: Largest spike count of a window, >= 1.
        windows: Windows of a sample, >= 1.
        threshold: > 0; `None` takes `default_threshold`.
        mixing: Mode of the mixing matrix, one of `mixing.MODES`.
        retention: Fraction of the membrane potential kept from window to window at the start
            of training, 0.5 to 1. Learned within this range, except in mode ``uniform``.
        initial: Membrane potential before the first window.

    Raises:
        TrainingError: A parameter is out of its range.
        UnknownNameError: There is no such mode.
    """

    def __init__(
        self,
        levels: int,
        windows: int,
        *,
        threshold: float | None = None,
        mixing: str = "full",
        retention: float = 1.0,
        initial: float = 0.0,
    ) -> None:
        super().__init__()
        threshold = default_threshold(max(levels, 1)) if threshold is None else threshold
        _check(levels, threshold, retention, initial)
        self.levels, self.windows = levels, windows
        self.mixing = Mixing(mixing, windows)
        self.register_buffer("threshold", torch.tensor(float(threshold)))
        self.register_buffer("initial", torch.tensor(float(initial)))
        alpha = torch.tensor(_logit(retention - _FULL_DECAY))
        if mixing == "uniform":
            self.register_buffer("alpha", alpha)
        else:
            self.alpha = nn.Parameter(alpha)

    @property
    def retention(self) -> Any:
        """Fraction of the membrane potential kept, 0.5 to 1, as a tensor."""
        return torch.sigmoid(self.alpha.clamp(max=0.0)) + _FULL_DECAY

    def confine(self) -> None:
        """Bring the leak's parameter back to where retention is at most 1.

        Called after every step of the optimizer, this is projected gradient descent.
        """
        with torch.no_grad():
            self.alpha.clamp_(max=0.0)

    def forward(self, x: Any) -> Any:
        """Return ``spike count * threshold`` of every window.

        Raises:
            TrainingError: The first axis of ``x`` is neither ``windows`` nor 1 long.
        """
        sent = x.shape[0]
        if x.ndim < 2 or sent not in (1, self.windows):
            raise TrainingError(
                f"reads {tuple(x.shape)}; the first axis must be {self.windows} windows, or 1",
                hint="bring the samples to (windows, batch, ...)",
            )
        mixing = self.mixing().to(x.dtype)
        if sent != self.windows:
            mixing = mixing.sum(dim=1, keepdim=True)
        retention = self.retention.to(x.dtype)
        y = _ChargeAndFire.apply(
            x.reshape(sent, -1), mixing, retention, self.threshold, self.initial, self.levels
        )
        return y.reshape(self.windows, *x.shape[1:])

    def counts(self, y: Any) -> Any:
        """Return the spike counts of what `forward` returned, as whole floats."""
        return torch.round(y / self.threshold)

    def extra_repr(self) -> str:
        """Return what torch prints of the module."""
        return (
            f"levels={self.levels}, windows={self.windows}, "
            f"threshold={float(self.threshold):g}, initial={float(self.initial):g}"
        )


class _ChargeAndFire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Any, mixing: Any, retention: Any, threshold: Any, initial: Any, levels: int
    ) -> Any:
        """Return ``(windows, elements)`` for ``x`` ``(windows or 1, elements)``."""
        threshold, initial = threshold.to(x.dtype), initial.to(x.dtype)
        m = mixing @ x
        y = torch.empty_like(m)
        v = initial
        for t in range(len(m)):
            m[t].addcmul_(v.expand_as(m[t]), retention)
            torch.div(m[t], threshold, out=y[t])
            y[t].floor_().clamp_(0, levels).mul_(threshold)
            if t + 1 < len(m):
                v = m[t] - y[t]
        ctx.levels = levels
        ctx.save_for_backward(x, mixing, m, y, threshold, initial)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """Return the gradients of x, mixing and retention."""
        x, mixing, m, y, threshold, initial = ctx.saved_tensors
        d = torch.ops.aten.hardtanh_backward(g, m / threshold, *_ramp(ctx.levels, m.dtype))
        of_x = mixing.t() @ d if ctx.needs_input_grad[0] else None
        of_mixing = d @ x.t() if ctx.needs_input_grad[1] else None
        of_retention = None
        if ctx.needs_input_grad[2]:
            of_retention = initial * d[0].sum()
            for t in range(1, len(m)):
                of_retention = of_retention + torch.dot(d[t], m[t - 1] - y[t - 1])
        return of_x, of_mixing, of_retention, None, None, None


def _ramp(levels: int, dtype: Any) -> tuple[float, float]:
    """Return between which multiples of the threshold a gradient passes, both excluded.

    The published ends, 1/2 and levels + 1/2, are included, so these are the next numbers. The
    gradient of a clipped line is several times faster than comparing and masking.
    """
    kind = np.float64 if dtype == torch.float64 else np.float32
    low, high = kind(0.5), kind(levels + 0.5)
    return float(np.nextafter(low, kind(0))), float(np.nextafter(high, kind(np.inf)))


def _logit(share: float) -> float:
    if share <= 0:
        return -_FAR
    return max(-_FAR, math.log(share / (1 - share)))


def _check(levels: int, threshold: float, retention: float, initial: float) -> None:
    if levels < 1:
        raise TrainingError(f"levels is {levels}; it must be 1 or more")
    if not (threshold > 0 and np.isfinite(threshold)):
        raise TrainingError(f"threshold is {threshold}; it must be above 0 and finite")
    if not _FULL_DECAY <= retention <= _NO_DECAY:
        raise TrainingError(
            f"retention is {retention}; it must be {_FULL_DECAY} to {_NO_DECAY}",
            hint="a membrane register can lose some of its potential, and cannot grow it",
        )
    if not np.isfinite(initial):
        raise TrainingError(f"initial is {initial}; it must be finite")
