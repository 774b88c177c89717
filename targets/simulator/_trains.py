"""Spikes written from counts, where a schedule says when the spikes of a window are.

With ``n`` spikes in a window, the neuron spikes in place ``k`` of its train iff ``n > k``
(*sorted*: places are time steps, or copies of the unit), or iff the binary number ``n`` has the
place (*radix*). ``docs/semantics.md`` has the proofs; they hold as long as no register leaves
its range and no population spikes before its window is complete.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.ir.mapped import Shape, Window

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.integer[Any]]


class Train:
    """When the neurons of one population spike, by the counts of its units.

    Attributes:
        length: Steps from the first to the last in which a neuron may spike.
    """

    def __init__(self, shape: Shape, window: Window, neurons: Sequence[int] = ()) -> None:
        """Prepare for some neurons.

        Args:
            shape: Of the circuit's population.
            window: Of the population.
            neurons: Numbers of some of them, channels first; empty for all.
        """
        self.length = window.length
        self._window = window
        self._unit, self._copy = _units(shape, window.copies, neurons)
        self._first = _first_steps(shape, window, neurons) - window.start
        self._is_plain = not self._copy.any() and not self._first.any()

    def held(self, counts: Counts) -> Counts:
        """Return the count behind each neuron, ``(samples, neurons)``.

        Args:
            counts: ``(samples, units)``, channels first.
        """
        return counts if self._unit is None else counts[:, self._unit]

    def write_all(self, held: Counts, out: Bools) -> None:
        """Write all spikes to ``out``, ``(samples, length, neurons)``."""
        for step in range(self.length):
            self.write(held, step, out[:, step])

    def write(self, held: Counts, step: int, out: Bools) -> None:
        """Write which neurons spike in a step of the window to ``out``, as ``held`` is."""
        if self._window.is_radix:
            worth = held.dtype.type(1 << (self.length - 1 - step))
            np.not_equal(held & worth, 0, out=out)
        elif self._is_plain:
            np.greater(held, held.dtype.type(step), out=out)
        else:
            place = step - self._first
            np.greater(held, self._copy + place, out=out)
            out &= (place >= 0) & (place < self._window.train_length)


def _units(
    shape: Shape, copies: int, neurons: Sequence[int]
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.int64]]:
    """Return of each neuron the unit it stands for, and which copy of it it is.

    The units are `None` if they are the neurons.
    """
    if copies == 1 and not neurons:
        return None, np.zeros(1, np.int64)
    chosen = _numbers(shape, neurons)
    positions = math.prod(shape[1:])
    channel, position = np.divmod(chosen, positions)
    return channel // copies * positions + position, channel % copies


def _first_steps(shape: Shape, window: Window, neurons: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the step in which the train of each neuron begins."""
    if not window.starts:
        return np.full(1, window.start)
    chosen = _numbers(shape, neurons)
    return np.asarray(window.starts)[chosen * len(window.starts) // math.prod(shape)]


def _numbers(shape: Shape, neurons: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.asarray(neurons if neurons else np.arange(math.prod(shape)), np.int64)
