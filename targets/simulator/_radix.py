"""Neurons that exchange binary numbers: a step of `Radix` and `RadixMax` for a whole batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from targets.simulator._emission import Current, Emission, magnitude, require_int32
from targets.simulator._layout import parameter
from toolchain.fixedpoint import STATE_LIMIT, wrap_sum
from toolchain.ir.radix import Radix, RadixMax

Ints = npt.NDArray[np.int32]


class RadixState:
    """State of a `Radix` population for a batch of samples, at rest to begin with.

    Beside ``u`` stands a number that no ``|u|`` exceeds, so that the values are looked at only
    where they might not fit.

    Attributes:
        u: What has arrived of the window under way, ``(batch, neurons)``.
        v: What is left of the window before it, likewise.
        wraps: Per sample, how often a register of a neuron had to be wrapped, ``(batch,)``.
        saturations: Zeros, ``(batch,)``.
    """

    def __init__(self, radix: Radix, neurons: int, batch: int) -> None:
        self.u = np.zeros((batch, neurons), np.int32)
        self.v = np.zeros((batch, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        self.saturations = np.zeros(batch, np.int64)
        self._radix = radix
        self._threshold, self._bias, self._ceiling, self._shift = (
            np.asarray(parameter(getattr(radix, what), radix.shape, radix.name, what), np.int32)
            for what in ("threshold", "bias", "ceiling", "shift")
        )
        self._bound = 0

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return the spikes.

        Raises:
            RangeError: A sum leaves 32 bits.
        """
        self._gather(current)
        if t < self._radix.start:
            return None
        phase = (t - self._radix.start) % self._radix.interval
        if phase == 0:
            self._begin()
        return self._fire(phase) if phase < self._radix.places else None

    def _gather(self, current: Current | None) -> None:
        bound = 2 * self._bound + (0 if current is None else current.bound)
        if bound == 0:
            return
        require_int32(self._radix.name, "u", bound)
        self.u *= 2
        if current is not None:
            self.u += current.values
        if bound >= STATE_LIMIT:
            self.u = self._wrapped(self.u)
            bound = magnitude(self.u)
        self._bound = bound

    def _begin(self) -> None:
        """Move the sum of a complete window to ``v``."""
        bound = (self._bound << int(self._shift.max())) + magnitude(self._bias)
        if bound < STATE_LIMIT:
            v = (self.u << self._shift) + self._bias
        else:
            v = self._wrapped((self.u.astype(np.int64) << self._shift) + self._bias)
        self.v = np.minimum(v, self._ceiling)
        self.u.fill(0)
        self._bound = 0

    def _fire(self, phase: int) -> Emission | None:
        worth = self._threshold << (self._radix.places - 1 - phase)
        has_spiked = self.v >= worth
        if not has_spiked.any():
            return None
        self.v -= worth * has_spiked
        return Emission(has_spiked, 1)

    def _wrapped(self, values: npt.NDArray[np.int32 | np.int64]) -> Ints:
        """Bring values into 24 bits and count those that did not fit."""
        self.wraps += np.count_nonzero(
            (values >= STATE_LIMIT) | (values < -STATE_LIMIT), axis=1
        )
        return wrap_sum(values.astype(np.int64)).astype(np.int32)


class RadixMaxState:
    """State of a `RadixMax` population for a batch of samples.

    Attributes:
        u: Mask of the inputs that may still be the largest, ``(batch, neurons)``.
        v: Zeros, likewise.
        wraps: Zeros, ``(batch,)``.
        saturations: Zeros, ``(batch,)``.
    """

    def __init__(self, radix_max: RadixMax, neurons: int, batch: int) -> None:
        self.u = np.zeros((batch, neurons), np.int32)
        self.v = np.zeros((1, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        self.saturations = np.zeros(batch, np.int64)
        self._radix_max = radix_max

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return the spikes."""
        if (
            t >= self._radix_max.start
            and (t - self._radix_max.start) % (self._radix_max.interval) == 0
        ):
            self.u.fill(-1)
        if current is None:
            return None
        ones = self.u & current.values
        has_spiked = ones != 0
        if not has_spiked.any():
            return None
        self.u = np.where(has_spiked, ones, self.u)
        return Emission(has_spiked, 1)
