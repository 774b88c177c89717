"""Counts of spikes, per neuron while a run lasts, and what follows from them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.simulator._machine import Machine
from targets.simulator._results import Activity
from toolchain.ir.mapped import IntArray, Window

Spikes = npt.NDArray[np.integer[Any]]
Counts = npt.NDArray[np.unsignedinteger[Any]]


class Tally:
    """Adds up the spikes of populations, in rows of one sample each.

    Attributes:
        inside: Spikes within the population's window, or at any time if it has none,
            ``(samples, neurons)`` by population.
        outside: Spikes outside of the window, by population, where there were any.
        numbers: What the spikes within the window add up to, of populations whose window holds
            binary numbers.
    """

    def __init__(
        self,
        machine: Machine,
        samples: int,
        time_steps: int,
        period: int | None = None,
        windows: Mapping[str, Window] = MappingProxyType({}),
    ) -> None:
        """Start at 0.

        Args:
            machine: Whose spikes to count.
            samples: Number of rows.
            time_steps: Length of the run; a neuron sends at most once a step.
            period: Steps between two samples of one run; `None` if they run side by side.
            windows: Where the spikes of a sample are, by population.
        """
        self._machine = machine
        self._samples = samples
        self._period = period
        self._windows = windows
        self._kind = np.min_scalar_type(time_steps)
        self._so_far = [
            {name: np.zeros(samples, np.int64) for name in counts}
            for counts in self._overflows()
        ]
        self.inside: dict[str, Counts] = {name: self._zeros(name) for name in machine.states}
        self.outside: dict[str, Counts] = {}
        self.numbers: dict[str, IntArray] = {
            name: np.zeros(self.inside[name].shape, np.int64)
            for name, window in windows.items()
            if window.is_radix
        }

    def add(self, t: int) -> None:
        """Count what the machine sent in step ``t``."""
        for name in self._machine.states:
            sent = self._machine.sent[name]
            if sent is not None:
                counts, rows = self._place(name, t)
                has_sent = sent.values if sent.values.dtype == np.bool_ else sent.values != 0
                counts[rows] += has_sent.view(np.uint8)
                if name in self.numbers and counts is self.inside[name]:
                    self.numbers[name][rows] += has_sent * self._worth(name, t)
        if self._period is not None:
            for so_far, now in zip(self._so_far, self._overflows(), strict=True):
                for name, overflows in now.items():
                    so_far[name][self._rows(None, t)] = overflows

    def overflows(self) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
        """Return saturations and wraps per sample, ``(samples,)`` by name.

        In a run of one sample after the other they belong to the period in which they happened.
        """
        if self._period is None:
            return self._overflows()
        saturations, wraps = (
            {name: np.diff(counts, prepend=0) for name, counts in so_far.items()}
            for so_far in self._so_far
        )
        return saturations, wraps

    def everywhere(self) -> dict[str, Counts]:
        """Return the spikes of every population within and outside of its window."""
        return {
            name: inside + self.outside[name] if name in self.outside else inside
            for name, inside in self.inside.items()
        }

    def _overflows(self) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
        return self._machine.saturations(), self._machine.wraps()

    def _place(self, name: str, t: int) -> tuple[Counts, slice]:
        """Return the array and the rows where the spikes of ``name`` in step ``t`` belong."""
        window = self._windows.get(name)
        rows = self._rows(window, t)
        if window is None or rows.start < rows.stop:
            return self.inside[name], rows
        if name not in self.outside:
            self.outside[name] = self._zeros(name)
        return self.outside[name], self._rows(None, t)

    def _worth(self, name: str, t: int) -> int:
        """Return what a spike of step ``t``, within a window of binary numbers, stands for."""
        window = self._windows[name]
        elapsed = t - window.start
        place = elapsed if self._period is None else elapsed % self._period
        return 1 << (window.length - 1 - place)

    def _rows(self, window: Window | None, t: int) -> slice:
        """Return the rows of the samples that step ``t`` belongs to; none if it is nobody's."""
        if self._period is None:
            is_inside = window is None or 0 <= t - window.start < window.length
            return slice(0, self._samples if is_inside else 0)
        if window is None:
            row = min(t // self._period, self._samples - 1)
            return slice(row, row + 1)
        elapsed = t - window.start
        first = max((elapsed - window.length) // self._period + 1, 0)
        last = min(elapsed // self._period, self._samples - 1)
        return slice(first, max(last + 1, first))

    def _zeros(self, name: str) -> Counts:
        return np.zeros((self._samples, self._machine.neurons[name]), self._kind)


def activity(
    machine: Machine,
    spikes: Mapping[str, Spikes],
    saturations: Mapping[str, IntArray],
    wraps: Mapping[str, IntArray],
) -> Activity:
    """Return what ``spikes``, ``(samples, neurons)`` by source and population, amount to."""
    totals: dict[str, IntArray] = {}
    operations: dict[str, IntArray] = {}
    for name, counts in spikes.items():
        synapses, weights = machine.fan_outs[name]
        sums = counts.astype(np.float64) @ weights  # exact far beyond what can be counted
        totals[name], *weighed = np.rint(sums).astype(np.int64).T
        operations.update(zip(synapses, weighed, strict=True))
    return Activity(
        spikes=totals, synaptic_operations=operations, saturations=saturations, wraps=wraps
    )
