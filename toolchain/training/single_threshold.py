r"""Trained networks with neurons of one threshold, step by step, in place of those of several.

A window becomes L time steps. In each of them a neuron compares its potential with the one
threshold it has, sends a spike or none, and a spike subtracts the threshold. There are two ways
to give it the mixed current A of the window:

- ``exact``: all of it before the first step (integrate, then fire), which is how the compiler
  lowers these neurons;
- ``uniform``: A / L in every step, which is the paper's (theorem A.2).

The leak is of the first step of a window alone. The first way sends what the trained neuron
does for any potential and current; the second does if no current is negative, or if a window
starts with a potential of 0 to below the threshold.

Source: LM-HT (Hao et al., NeurIPS 2024), section 4.5 and theorem A.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import torch
from toolchain.training.network import Network, Step
from toolchain.training.neuron import MultiThreshold

WAYS = ("exact", "uniform")
"""How a neuron of one threshold gets the current of a window."""


class SingleThreshold(MultiThreshold):
    """Neurons of one threshold over ``levels`` steps a window, with what trained ones learned.

    Args:
        trained: Whose weights, threshold and potential they have.
        way: One of `WAYS`.

    Raises:
        TrainingError: There is no such way.
    """

    def __init__(self, trained: MultiThreshold, way: str) -> None:
        if way not in WAYS:
            raise TrainingError(f"no way is called {way!r}; there are {', '.join(WAYS)}")
        super().__init__(trained.levels, trained.windows, mixing=trained.mixing.mode)
        self.way = way
        self.to(trained.threshold)
        self.load_state_dict(trained.state_dict())

    def forward(self, x: Any) -> Any:
        """Return ``spikes of a window * threshold``; reads what `MultiThreshold` does."""
        sent = x.expand(self.windows, *x.shape[1:])
        mixed = torch.tensordot(self.mixing().to(x.dtype), sent, dims=1)
        v = self.initial.to(x.dtype).expand(x.shape[1:]).clone()
        counts = []
        for current in mixed:
            v = self.retention * v
            counts.append(torch.zeros_like(v))
            for step in range(self.levels):
                if self.way == "uniform":
                    v = v + current / self.levels
                elif step == 0:
                    v = v + current
                spikes = (v >= self.threshold).to(x.dtype)
                v = v - spikes * self.threshold
                counts[-1] += spikes
        return torch.stack(counts) * self.threshold


@dataclass(frozen=True, eq=False)
class Difference:
    """What neurons of one threshold send otherwise than those they stand for.

    Attributes:
        logits: Of the network with them, ``(samples, classes)``.
        counts: Windows of neurons that were compared, over all samples.
        differing: How many of them have another number of spikes.
    """

    logits: Any
    counts: int
    differing: int


def with_single_thresholds(network: Network, way: str) -> Network:
    """Return a network with neurons of one threshold; weights are copied.

    Raises:
        TrainingError: There is no such way.
    """
    steps = [
        Step(s.name, s.inputs, SingleThreshold(s.module, way))
        if isinstance(s.module, MultiThreshold)
        else s
        for s in network.copied_steps()
    ]
    return network.with_steps(steps).eval()


def compare(trained: Network, others: Mapping[str, Network], x: Any) -> dict[str, Difference]:
    """Return what each of ``others`` sends otherwise than ``trained`` for samples ``x``.

    All run from the samples on, so that differences of a layer reach those behind it.
    """
    counts, differing = 0, dict.fromkeys(others, 0)
    last: dict[str, Any] = {}
    with torch.no_grad():
        runs = [network.evaluate(x) for network in (trained, *others.values())]
        for (step, _, wanted), *found in zip(*runs, strict=True):
            last = dict(zip(others, (y for _, _, y in found), strict=True))
            if isinstance(step.module, MultiThreshold):
                counts += wanted.numel()
                sent = step.module.counts(wanted)
                for name, y in last.items():
                    differing[name] += int((step.module.counts(y) != sent).sum())
    return {
        name: Difference(last[name].mean(dim=0), counts, differing[name]) for name in others
    }
