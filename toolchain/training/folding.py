r"""Fold batch normalization into the weights before it.

With :math:`y = W x + b` and :math:`z = \gamma (y - \mu) / \sigma + \beta`, where
:math:`\sigma = \sqrt{\mathrm{var} + \epsilon}`, the folded layer is

.. math::
    W' = (\gamma / \sigma) W, \qquad b' = (\gamma / \sigma) (b - \mu) + \beta

Where no layer precedes the normalization, or something else reads that layer, it becomes a
fixed scale and shift.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolchain.training._torch import nn, torch
from toolchain.training.network import LINEAR, Network, Scale, Step, readers

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_normalization(network: Network) -> Network:
    """Return a network without batch normalization that computes what this one does in use.

    The statistics are those gathered in training. Weights are copied.
    """
    steps = network.copied_steps()
    for norm in [step for step in steps if isinstance(step.module, _NORMS)]:
        factor, shift = _affine(norm.module)
        (read,) = next(s.inputs for s in steps if s.name == norm.name)
        source = next((s for s in steps if s.name == read), None)
        alone = len(readers(steps, read)) == 1
        if source is not None and isinstance(source.module, LINEAR) and alone:
            _scale_layer(source.module, factor, shift)
            steps = _bypass(steps, norm)
        else:
            axes = [-1] + [1] * (isinstance(norm.module, nn.BatchNorm2d) * 2)
            scale = Scale(1.0).to(factor)
            scale.factor, scale.shift = factor.reshape(axes), shift.reshape(axes)
            steps = [replace(s, module=scale) if s.name == norm.name else s for s in steps]
    folded = network.with_steps(steps)
    folded.train(network.training)
    return folded


def _affine(norm: Any) -> tuple[Any, Any]:
    with torch.no_grad():
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return factor.clone(), norm.bias - norm.running_mean * factor


def _scale_layer(layer: Any, factor: Any, shift: Any) -> None:
    with torch.no_grad():
        old = 0.0 if layer.bias is None else layer.bias
        bias = old * factor + shift
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias = nn.Parameter(bias)


def _bypass(steps: list[Step], gone: Step) -> list[Step]:
    (source,) = next(s.inputs for s in steps if s.name == gone.name)
    return [
        Step(s.name, tuple(source if i == gone.name else i for i in s.inputs), s.module)
        for s in steps
        if s.name != gone.name
    ]
