r"""The activation of networks that are to become spiking ones: a staircase of a trained size.

.. math::
    a = \frac{\lambda}{L} \,
        \mathrm{clip}\left(\left\lfloor \frac{x L}{\lambda} + \frac12 \right\rfloor, 0, L\right)

It is what neurons with ``levels`` spikes in all, threshold :math:`\lambda` and half of it as
initial potential send on average. Backwards the floor counts as the identity, so the gradient
reaches both the input and :math:`\lambda`.

Source: QCFS (Bu et al., ICLR 2022); as equation 4 of LM-HT (Hao et al., NeurIPS 2024).
"""

from __future__ import annotations

from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import nn, torch

START = 8.0
"""Published start of the trained scale."""

_LEAST = 1e-3


class Qcfs(nn.Module):
    """A staircase from 0 to ``threshold`` in ``levels`` steps.

    Attributes:
        levels: Steps, >= 1.
        threshold: The largest output, trained, > 0.

    Raises:
        TrainingError: A parameter is out of its range.
    """

    def __init__(self, levels: int, threshold: float = START) -> None:
        super().__init__()
        if levels < 1:
            raise TrainingError(f"levels is {levels}; it must be 1 or more")
        if not threshold > 0:
            raise TrainingError(f"threshold is {threshold}; it must be above 0")
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def confine(self) -> None:
        """Keep the threshold above 0; called after every step of the optimizer."""
        with torch.no_grad():
            self.threshold.clamp_(min=_LEAST)

    def forward(self, x: Any) -> Any:
        """Return the staircase of ``x``."""
        share = torch.clamp(x / self.threshold, 0, 1) * self.levels
        rounded = share + (torch.floor(share + 0.5) - share).detach()
        return rounded / self.levels * self.threshold

    def extra_repr(self) -> str:
        """Return what torch prints of the module."""
        return f"levels={self.levels}"
