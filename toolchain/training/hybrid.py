r"""Turn a trained analogue network into one of LM-HT neurons that computes the same.

A network whose activations are staircases of L T levels (`qcfs`) is copied into one of neurons
with L levels and T windows, which starts with uniform mixing, no leak, the staircase's scale
:math:`\lambda` as threshold and half of it as initial potential. A neuron then sends L times
the activation on average over the windows, so every current must be L times that of the
analogue network:

- the first layer reads the sample, so its weights and its bias are multiplied by L;
- hidden layers read values that are L times as large already, so their weights stay and their
  **bias is multiplied by L**;
- the last layer divides its weights by L and keeps its bias, so that the logits are the same.

With this, the two networks agree exactly before any fine-tuning (theorem 4.4 holds with
equality where the levels are L T). Normalization is folded first, since its shift is a bias.

Source: LM-HT (Hao et al., NeurIPS 2024), section 4.4 and algorithm 1. The paper and its code
multiply the input current of the first layer and leave the biases as they are, with which the
converted network is another one as soon as there are biases or normalization.
"""

from __future__ import annotations

from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import torch
from toolchain.training.folding import fold_normalization
from toolchain.training.network import (
    ACTIVATIONS,
    INPUT,
    LINEAR,
    Add,
    Network,
    Scale,
    Step,
    readers,
)
from toolchain.training.neuron import MultiThreshold
from toolchain.training.qcfs import Qcfs


def convert_to_neurons(
    network: Network, levels: int, windows: int, *, mixing: str = "full"
) -> Network:
    """Return a network of LM-HT neurons with the weights of a trained analogue one.

    Equal to it, before fine-tuning, where its activations have ``levels * windows`` levels and
    ``mixing`` starts uniform (modes ``full`` and ``uniform``).

    Args:
        network: With `Qcfs` activations.
        levels: Of the neurons.
        windows: Of the neurons.
        mixing: Mode of their mixing matrices.

    Raises:
        TrainingError: An activation is not a `Qcfs`, or two values that are added are not on
            one scale.
    """
    folded = fold_normalization(network)
    steps = [_with_neurons(step, levels, windows, mixing) for step in folded.copied_steps()]
    _scale_currents(steps, float(levels))
    made = network.with_steps(steps)
    made.to(next(network.parameters()))
    return made


def _with_neurons(step: Step, levels: int, windows: int, mixing: str) -> Step:
    if not isinstance(step.module, ACTIVATIONS):
        return step
    if not isinstance(step.module, Qcfs):
        raise TrainingError(
            f"is a {type(step.module).__name__}; the activations of a network to convert are "
            "Qcfs",
            node=step.name,
            hint="train the network with the activation 'qcfs' first",
        )
    threshold = step.module.threshold.detach()
    neuron = MultiThreshold(levels, windows, mixing=mixing).to(threshold)
    neuron.threshold.copy_(threshold)
    neuron.initial.copy_(threshold / 2)
    return Step(step.name, step.inputs, neuron)


def _scale_currents(steps: list[Step], levels: float) -> None:
    """Bring every value behind the first layers to ``levels`` times that of the source."""
    scales = {INPUT: 1.0}
    for step in steps:
        found = {scales[name] for name in step.inputs}
        if len(found) > 1 and isinstance(step.module, Add):
            raise TrainingError(
                "adds the network's input to what neurons send, which are on two scales",
                node=step.name,
                hint="put a layer before the sum",
            )
        (scale,) = found
        if isinstance(step.module, ACTIVATIONS):
            scale = levels
        if isinstance(step.module, LINEAR):
            wanted = 1.0 if _is_last(steps, step) else levels
            _scale_layer(step.module, wanted / scale, wanted)
            scale = wanted
        if isinstance(step.module, Scale):
            step.module.shift = step.module.shift * scale
        scales[step.name] = scale


def _is_last(steps: list[Step], layer: Step) -> bool:
    """Tell whether no layer and no activation follows."""
    behind = [layer.name]
    while behind:
        for step in readers(steps, behind.pop()):
            if isinstance(step.module, LINEAR + ACTIVATIONS):
                return False
            behind.append(step.name)
    return True


def _scale_layer(layer: Any, weight: float, bias: float) -> None:
    with torch.no_grad():
        layer.weight.mul_(weight)
        if layer.bias is not None:
            layer.bias.mul_(bias)


def replace_activations(network: Network, kinds: tuple[type, ...], make: Any) -> Network:
    """Return a network with ``make(name)`` in the place of every activation of these classes.

    Weights are copied.
    """
    steps = [
        Step(s.name, s.inputs, make(s.name)) if isinstance(s.module, kinds) else s
        for s in network.copied_steps()
    ]
    return network.with_steps(steps)
