"""A network as named steps that read one another, so that it can be rewritten and exported.

All steps but neurons work on each window by itself: their windows and samples are one batch.
What is the same in every window, as a static image is up to the first neurons, is computed
once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from toolchain.errors import TrainingError
from toolchain.training._torch import nn, torch
from toolchain.training.neuron import MultiThreshold
from toolchain.training.qcfs import Qcfs

INPUT = "input"
"""Name by which steps read the sample."""

LINEAR = (nn.Linear, nn.Conv2d)
"""Layers with weights."""

RECTIFIERS = (nn.ReLU, nn.Hardtanh)
"""Analogue activations: without and with an upper limit. The lower limit is 0."""

ACTIVATIONS = (*RECTIFIERS, Qcfs, MultiThreshold)


class Add(nn.Module):
    """Sum of two values or more."""

    def forward(self, *values: Any) -> Any:
        """Return the sum."""
        return sum(values[1:], values[0])


class Scale(nn.Module):
    """Fixed elementwise ``factor * x + shift``: normalization that has been trained, or given.

    Attributes:
        factor: Broadcasts to a sample.
        shift: Broadcasts to a sample.
    """

    def __init__(self, factor: Any, shift: Any = 0.0) -> None:
        super().__init__()
        self.register_buffer("factor", torch.as_tensor(factor, dtype=torch.float32).clone())
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.float32).clone())

    def forward(self, x: Any) -> Any:
        """Return ``factor * x + shift``."""
        return x * self.factor + self.shift


class Permute(nn.Module):
    """Values of a sample in another order and shape: ``y.flat = x.flat[order]``, 0 for -1.

    Attributes:
        shape: Of a sample of the output.
        order: Flat index into the input for each element of the output, -1 for a zero.
    """

    def __init__(self, shape: tuple[int, ...], order: Any) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer("order", torch.as_tensor(order, dtype=torch.int64).flatten())

    def forward(self, x: Any) -> Any:
        """Return the values in order."""
        values = x.flatten(1)[:, self.order.clamp(min=0)]
        return (values * (self.order >= 0)).reshape(len(x), *self.shape)


@dataclass(frozen=True)
class Step:
    """One module of a network, and what it reads.

    Attributes:
        name: Unique in its network.
        inputs: Names of steps before it, or `INPUT`.
        module: What computes it.
    """

    name: str
    inputs: tuple[str, ...]
    module: Any


class Network(nn.Module):
    """Steps in the order they run; the last one makes the logits.

    Called with samples ``(batch, *shape)``, or ``(batch, windows, *shape)`` if they have a
    window axis, it returns the mean of the logits over the windows, ``(batch, classes)``.

    Attributes:
        steps: Each after those it reads.
        sample_shape: Of one sample, without the window axis.
        has_window_axis: Whether samples come with one.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        sample_shape: tuple[int, ...],
        *,
        has_window_axis: bool = False,
    ) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.sample_shape = tuple(sample_shape)
        self.has_window_axis = has_window_axis
        self.parts = nn.ModuleDict(
            {f"{i}-{s.name.replace('.', '_')}": s.module for i, s in enumerate(self.steps)}
        )

    def __getitem__(self, name: str) -> Any:
        """Return the module of the step called ``name``."""
        return next(step.module for step in self.steps if step.name == name)

    @property
    def windows(self) -> int:
        """Windows of a sample: those of the neurons, 1 in an analogue network.

        Raises:
            TrainingError: Layers differ in their number.
        """
        found = sorted({m.windows for m in self.modules() if isinstance(m, MultiThreshold)})
        if len(found) > 1:
            raise TrainingError(
                f"layers have {found[0]} and {found[-1]} windows; one is needed"
            )
        return found[0] if found else 1

    def evaluate(self, x: Any) -> Iterator[tuple[Step, list[Any], Any]]:
        """Compute step by step.

        Yields:
            Each step, the values it reads and the one it makes, ``(windows or 1, batch, ...)``.

        Raises:
            TrainingError: The samples have another shape than the network reads.
        """
        self._require_shape(x)
        values = {INPUT: x.transpose(0, 1) if self.has_window_axis else x[None]}
        last_reader = {name: i for i, step in enumerate(self.steps) for name in step.inputs}
        for i, step in enumerate(self.steps):
            inputs = [values[name] for name in step.inputs]
            values[step.name] = run_step(step.module, inputs)
            yield step, inputs, values[step.name]
            for name in step.inputs:
                if last_reader[name] == i:
                    values.pop(name, None)

    def forward(self, x: Any) -> Any:
        """Return the logits, averaged over the windows."""
        y = None
        for _, _, value in self.evaluate(x):
            y = value
        if y is None:
            raise TrainingError("the network has no steps")
        return y.mean(dim=0)

    def confine(self) -> None:
        """Bring all that has a range back into it; called after every optimizer step."""
        for module in self.modules():
            if isinstance(module, (MultiThreshold, Qcfs)):
                module.confine()

    def copied_steps(self) -> list[Step]:
        """Return the steps with modules of their own."""
        return [Step(s.name, s.inputs, copy.deepcopy(s.module)) for s in self.steps]

    def with_steps(self, steps: Iterable[Step]) -> Network:
        """Return a network of other steps that reads the same samples."""
        return Network(steps, self.sample_shape, has_window_axis=self.has_window_axis)

    def _require_shape(self, x: Any) -> None:
        lead = 2 if self.has_window_axis else 1
        if tuple(x.shape[lead:]) != self.sample_shape:
            axes = "(batch, windows" if self.has_window_axis else "(batch"
            wanted = ", ".join(map(str, self.sample_shape))
            raise TrainingError(
                f"samples come as {tuple(x.shape)}; the network reads {axes}, {wanted})"
            )


def run_step(module: Any, inputs: list[Any]) -> Any:
    """Return what a module makes of values ``(windows or 1, batch, *shape)``."""
    if isinstance(module, (MultiThreshold, Add)):
        return module(*inputs)
    (x,) = inputs
    y = module(x.flatten(0, 1))
    return y.unflatten(0, x.shape[:2])


def readers(steps: Iterable[Step], name: str) -> list[Step]:
    """Return the steps that read ``name``."""
    return [step for step in steps if name in step.inputs]
