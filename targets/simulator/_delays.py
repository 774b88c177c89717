"""All-to-all connections that take longer than one time step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from targets.simulator._carriers import MatrixCarrier
from targets.simulator._emission import (
    Current,
    Emission,
    add_currents,
    magnitude,
    require_int32,
)
from toolchain.ir.mapped import IntArray


class DelayedCarrier:
    """Connections that have delays of their own, ``(out, in)``.

    As in Lava, the sum of each delay is shifted by the weight exponent before it meets the
    others.
    """

    def __init__(
        self, name: str, weight: IntArray, exponent: int, delay: npt.NDArray[np.int64]
    ) -> None:
        self._name = name
        self._lines = [
            (int(steps), columns, MatrixCarrier(name, due[:, columns], exponent))
            for steps in np.unique(delay)
            for due in [np.where(delay == steps, weight, 0)]
            for columns in [np.flatnonzero(np.any(delay == steps, axis=0))]
        ]
        self._under_way: list[list[Current]] = []
        self._length = int(delay.max(initial=0)) + 1

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self._under_way = [[] for _ in range(self._length)]

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is not None:
            for steps, columns, line in self._lines:
                values = spikes.values[:, columns]
                if values.any() and (current := line.carry(Emission(values, spikes.peak))):
                    self._under_way[steps].append(current)
        self._under_way.append([])
        return add_currents(self._name, self._under_way.pop(0))


class OutputDelayCarrier:
    """Connections whose delay depends on the output neuron alone, ``(out,)``."""

    def __init__(
        self, name: str, weight: IntArray, exponent: int, delay: npt.NDArray[np.int64]
    ) -> None:
        self._name = name
        self._matrix = MatrixCarrier(name, weight, exponent)
        self._delay = delay
        self._outputs = np.arange(len(delay))
        self._under_way = np.zeros((int(delay.max(initial=0)) + 1, len(delay), 1), np.int64)
        self._now = 0

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self._under_way = np.zeros((*self._under_way.shape[:2], batch), np.int64)
        self._now = 0

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if (current := self._matrix.carry(spikes)) is not None:
            due = (self._now + self._delay) % len(self._under_way)
            self._under_way[due, self._outputs] += current.values.T
        arriving = self._under_way[self._now]
        bound = magnitude(arriving)
        require_int32(self._name, "a sum of weights times spikes", bound)
        values = arriving.T.astype(np.int32)
        arriving[:] = 0
        self._now = (self._now + 1) % len(self._under_way)
        return Current(values, bound) if bound else None
