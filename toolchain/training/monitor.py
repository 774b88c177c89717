r"""Count spikes and operations of a network on samples, and model their energy.

A *synaptic operation* is one spike through one synapse. They are counted by sending the spike
counts through each layer with all weights set to 1, so what falls on padding or is cut off at
the border counts as it is. Pools pass on every spike; an identity shortcut is one operation a
spike. What the paper's monitor leaves out is counted apart:

- multiply-accumulates of the layers that read the analogue sample, once a sample where it is
  the same in every window;
- multiply-accumulates of mixing: the non-zero entries of the matrix, for every neuron.

Energy is modelled with the constants of the literature, 0.9 pJ an accumulate and 4.6 pJ a
multiply-accumulate (45 nm, 32 bit; Horowitz, ISSCC 2014). It is no measurement of a chip.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

from toolchain.training._torch import nn, torch
from toolchain.training.network import INPUT, LINEAR, Add, Network, run_step
from toolchain.training.neuron import MultiThreshold

ACCUMULATE_J = 0.9e-12
MULTIPLY_ACCUMULATE_J = 4.6e-12

_BATCH = 50


@dataclass(frozen=True)
class Operations:
    """Means over samples.

    Attributes:
        spikes: Sent by all neurons in all windows.
        synaptic_operations: As published: all but the first layers' and mixing.
        input_operations: Multiply-accumulates of layers that read the sample.
        mixing_operations: Multiply-accumulates of the mixing matrices.
        energy_j: Modelled, of ``synaptic_operations`` alone, as published.
        energy_with_all_j: Modelled, of all four kinds together.
    """

    spikes: float
    synaptic_operations: float
    input_operations: float
    mixing_operations: float

    @property
    def energy_j(self) -> float:
        """Modelled energy as published, in joules a sample."""
        return self.synaptic_operations * ACCUMULATE_J

    @property
    def energy_with_all_j(self) -> float:
        """Modelled energy with what the published monitor leaves out, in joules a sample."""
        multiplied = self.input_operations + self.mixing_operations
        return self.energy_j + multiplied * MULTIPLY_ACCUMULATE_J

    def as_dict(self) -> dict[str, float]:
        """Return all numbers by name."""
        energies = {"energy_j": self.energy_j, "energy_with_all_j": self.energy_with_all_j}
        return asdict(self) | energies


def count_operations(network: Network, x: Any) -> Operations:
    """Return what a network does for samples ``x``, each on average.

    Analogue networks send no spikes; all of their layers are input operations.
    """
    totals = {"spikes": 0.0, "synaptic": 0.0, "input": 0.0, "mixing": 0.0}
    with torch.no_grad():
        for part in x.split(_BATCH):
            trains: dict[str, Any] = {INPUT: None}
            for step, inputs, y in network.evaluate(part):
                spikes = [trains[name] for name in step.inputs]
                trains[step.name] = _passed_on(step.module, spikes, inputs, y, totals)
    share = 1 / len(x)
    return Operations(
        spikes=totals["spikes"] * share,
        synaptic_operations=totals["synaptic"] * share,
        input_operations=totals["input"] * share,
        mixing_operations=totals["mixing"] * share,
    )


def _passed_on(
    module: Any, spikes: list[Any], inputs: list[Any], y: Any, totals: dict[str, float]
) -> Any:
    """Add what a step does to the totals; return the spikes it passes on, `None` if none."""
    if isinstance(module, MultiThreshold):
        sent = module.counts(y)
        totals["spikes"] += _total(sent)
        if len(inputs[0]) > 1:
            totals["mixing"] += int((module.mixing() != 0).sum()) * y[0].numel()
        return sent
    if isinstance(module, LINEAR):
        ones = _with_unit_weights(module)
        if spikes[0] is None:
            totals["input"] += _total(run_step(ones, [torch.ones_like(inputs[0])]))
        else:
            totals["synaptic"] += _total(run_step(ones, spikes))
        return None
    if isinstance(module, Add):
        if all(train is not None for train in spikes):
            return sum(spikes[1:], spikes[0])
        totals["synaptic"] += sum(_total(train) for train in spikes if train is not None)
        return None
    if spikes[0] is None:
        return None
    made = run_step(module, spikes)
    if isinstance(module, nn.AvgPool2d):
        size = module.kernel_size
        made = made * (size * size if isinstance(size, int) else size[0] * size[1])
    return made


def _with_unit_weights(layer: Any) -> Any:
    ones = copy.deepcopy(layer)
    ones.bias = None
    ones.weight.fill_(1.0)
    return ones


def _total(values: Any) -> float:
    return float(values.double().sum())
