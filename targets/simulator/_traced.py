"""What has been traced of one population, while samples are run in any order."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.simulator._recorder import SPIKES
from targets.simulator._trains import Counts, Train
from toolchain.engine import PopulationTrace, Selection
from toolchain.ir.mapped import Circuit
from toolchain.schedule import is_silent_at_rest

Rows: TypeAlias = npt.NDArray[np.int64]
Steps: TypeAlias = npt.NDArray[Any]
"""``(samples, latency, *shape)`` of all neurons, or ``(samples, latency, chosen)``."""


class Traced:
    """Arrays of one population that fill up.

    Attributes:
        train: When it spikes, by its counts; `None` if they are not known, or its spikes were
            not asked for.
        stepped: Registers that counts do not give.
        sample_bytes: Memory that one sample takes.
    """

    def __init__(
        self, circuit: Circuit, name: str, selection: Selection, *, is_counted: bool
    ) -> None:
        """Prepare for a population; ``is_counted`` tells whether its counts are known."""
        shape, window = circuit.nodes[name].shape, circuit.windows.get(name)
        registers, neurons = selection.registers, selection.neurons
        self._numbers = np.asarray(neurons, np.int64) if neurons else None
        self._shape = (len(neurons),) if neurons else shape
        self._latency = circuit.latency
        self._window = window if SPIKES in registers else None
        self._is_silent = is_silent_at_rest(circuit)
        self._steps = circuit.latency if window is None else window.length
        self._asked = registers
        self.train: Train | None = None
        if is_counted and self._window is not None:
            self.train = Train(shape, self._window, neurons)
        self.stepped = tuple(r for r in registers if r != SPIKES or self.train is None)
        entries = sum(
            self._steps if register == SPIKES else 4 * circuit.latency for register in registers
        )
        self.sample_bytes = entries * math.prod(self._shape)
        self._arrays: dict[str, Steps] = {}
        self._astray: list[tuple[Rows, Steps]] = []

    def start(self, samples: int) -> None:
        """Make room."""
        for register in self._asked:
            steps = self._steps if register == SPIKES else self._latency
            kind = np.bool_ if register == SPIKES else np.int32
            self._arrays[register] = np.zeros((samples, steps, *self._shape), kind)

    def put_counts(self, rows: Rows, counts: Counts) -> None:
        """Take spikes of the window from counts, ``(samples, *shape)`` of the units."""
        if self.train is None:
            return
        array = self._arrays[SPIKES]
        flat = array.reshape(*array.shape[:2], -1)
        held = self.train.held(counts.reshape(len(counts), -1))
        if rows[-1] - rows[0] + 1 == len(rows):
            self.train.write_all(held, flat[rows[0] : rows[-1] + 1])
        else:
            spikes = np.empty((len(rows), *flat.shape[1:]), np.bool_)
            self.train.write_all(held, spikes)
            flat[rows] = spikes

    def put_steps(self, register: str, rows: Rows, values: Steps) -> None:
        """Take a register of the neurons asked for in all steps."""
        values = values.reshape(*values.shape[:2], *self._shape)
        if register != SPIKES or self._window is None:
            self._arrays[register][rows] = values
            return
        first, stop = self._window.start, self._window.start + self._window.length
        self._arrays[SPIKES][rows] = values[:, first:stop]
        if self._is_silent and (values[:, :first].any() or values[:, stop:].any()):
            self._astray.append((rows, values))

    def finish(self) -> PopulationTrace:
        """Return what was traced."""
        first = 0 if self._window is None else self._window.start
        spikes = self._arrays.get(SPIKES)
        if spikes is not None and self._astray:
            inside, first = slice(first, first + self._steps), 0
            narrow = spikes
            spikes = np.zeros((len(narrow), self._latency, *self._shape), np.bool_)
            spikes[:, inside] = narrow
            for rows, values in self._astray:
                spikes[rows] = values
        others = {name: array for name, array in self._arrays.items() if name != SPIKES}
        return PopulationTrace(first_step=first, spikes=spikes, **others)

    def chosen(self, values: Steps) -> Steps:
        """Return those of all neurons that are asked for."""
        if self._numbers is None:
            return values
        return values.reshape(*values.shape[:2], -1)[:, :, self._numbers]
