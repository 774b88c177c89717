"""Sigma-delta populations: one step of `Delta`, `SigmaDelta` and `Sigma` for a whole batch.

All of it is 32-bit arithmetic that wraps in silence, in Lava and here. What a payload's message
bits cannot hold is sent all the same, as Lava does, and counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from targets.simulator._emission import Current, Emission, emission
from targets.simulator._layout import parameter
from toolchain.ir.mapped import IntArray
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta


class DeltaState:
    """State of a `Delta` or `SigmaDelta` population for a batch of samples.

    Attributes:
        v: The sum of all input, ``(batch, neurons)``; stays 0 for a `Delta`.
        wraps: Zeros, ``(batch,)``.
        saturations: Per sample, how many payloads exceeded the message bits, ``(batch,)``.
    """

    def __init__(self, population: Delta | SigmaDelta, neurons: int, batch: int) -> None:
        self.v = np.zeros((batch, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        self.saturations = np.zeros(batch, np.int64)
        self._population = population
        self._places = population.spike_exponent + population.state_exponent
        self._threshold = self._scaled(population.threshold, "threshold")
        self._bias = np.zeros((), np.int32)
        if isinstance(population, SigmaDelta):
            self._bias = self._scaled(population.bias, "bias")
        self._sent_value = np.zeros((batch, neurons), np.int32)
        self._residue = np.zeros((batch, neurons), np.int32)
        self._is_settled = False

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by one time step and return the payloads sent."""
        if current is None and self._is_settled:
            return None
        value = self._value(current)
        change = value - self._sent_value + self._residue
        sent = np.where(np.abs(change) >= self._threshold, change, np.int32(0))
        self._residue = change - sent
        self._sent_value = value
        self._is_settled = current is None or isinstance(self._population, SigmaDelta)
        payload = emission(sent >> self._population.state_exponent)
        self.saturations += count_overflows(payload, self._population.message_bits)
        return payload

    def _value(self, current: Current | None) -> npt.NDArray[np.int32]:
        """Return the value whose changes are sent, ``(batch, neurons)``."""
        if isinstance(self._population, Delta):
            value = np.zeros_like(self.v)
            return value if current is None else value + (current.values << self._places)
        if current is not None:
            self.v += current.values
        return np.maximum(self.v + self._bias, 0)

    def _scaled(self, value: int | IntArray, what: str) -> npt.NDArray[np.int32]:
        population = self._population
        row = parameter(value, population.shape, population.name, what)
        return np.asarray(row, np.int32) << self._places


class SigmaState:
    """State of a `Sigma` population for a batch of samples.

    Attributes:
        v: The sum of all input, ``(batch, neurons)``.
        wraps: Zeros, ``(batch,)``.
        saturations: Per sample, how many payloads exceeded the message bits, ``(batch,)``.
    """

    def __init__(self, sigma: Sigma, neurons: int, batch: int) -> None:
        self.v = np.zeros((batch, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        self.saturations = np.zeros(batch, np.int64)
        self._message_bits = sigma.message_bits

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by one time step and return the payloads sent."""
        if current is not None:
            self.v = self.v + current.values
        payload = emission(self.v)
        self.saturations += count_overflows(payload, self._message_bits)
        return payload


def count_overflows(payload: Emission | None, message_bits: int) -> IntArray | int:
    """Return per sample how many payloads need more than ``message_bits`` with their sign."""
    limit = 1 << (message_bits - 1)
    if payload is None or payload.peak < limit:
        return 0
    is_beyond = (payload.values >= limit) | (payload.values < -limit)
    return np.count_nonzero(is_beyond, axis=1)
