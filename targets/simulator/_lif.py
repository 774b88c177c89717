r"""Leaky integrate-and-fire populations: one step of `Lif` for a whole batch.

Two things make a step cheap without changing a bit of it.

*Bounds.* Beside ``u`` and ``v`` the state keeps numbers that no ``|u|`` and no ``|v|`` exceeds.
They follow the same equations as the state. Only when one of them reaches ``2**23`` are the
values themselves looked at, and the bound becomes exact again: that a register cannot overflow
is mostly known without looking.

*Settling.* Without input some populations stay as they are: those at rest without a bias, and
those with neither decay of ``u`` nor memory in ``v`` (``v = u + bias`` in every step, so the
same neurons spike again). Their step is skipped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from targets.simulator._emission import (
    INT32_LIMIT,
    Current,
    Emission,
    magnitude,
    require_int32,
)
from targets.simulator._layout import parameter
from toolchain.fixedpoint import (
    DECAY_UNITY,
    INPUT_SHIFT,
    STATE_LIMIT,
    decay,
    saturate,
    shift,
    wrap24,
)
from toolchain.ir.mapped import IntArray, Lif


class LifState:
    """State of one population for a batch of samples, at rest to begin with.

    Attributes:
        u: Synaptic current ``(batch, neurons)``.
        v: Membrane potential ``(batch, neurons)``.
        wraps: Per sample, how often a neuron's ``u`` left its register, ``(batch,)``.
        saturations: Per sample, how often a neuron's ``v`` was limited, ``(batch,)``.
    """

    def __init__(self, lif: Lif, neurons: int, batch: int) -> None:
        self.u = np.zeros((batch, neurons), np.int32)
        self.v = np.zeros((batch, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        self.saturations = np.zeros(batch, np.int64)
        self._lif = lif
        self._threshold = _as_int32(parameter(lif.threshold, lif.shape, lif.name, "threshold"))
        self._threshold = self._threshold << INPUT_SHIFT
        self._set_bias(parameter(lif.bias_mantissa, lif.shape, lif.name, "bias"))
        self._decay_u = _Decay.of(parameter(lif.decay_u, lif.shape, lif.name, "decay_u"))
        self._decay_v = _Decay.of(parameter(lif.decay_v, lif.shape, lif.name, "decay_v"))
        self._u_bound = self._v_bound = 0
        self._is_settled = not self._bias_peak
        self._spikes: Emission | None = None
        self._now_saturated: IntArray | None = None

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return the spikes; the arrays may be reused.

        Raises:
            RangeError: A sum leaves 32 bits, where Lava's arithmetic ends.
        """
        if self._is_reset_at(t):
            self._clear()
        elif current is None and self._is_settled:
            if self._now_saturated is not None:
                self.saturations += self._now_saturated
            return self._spikes
        self._integrate_u(current)
        self._integrate_v()
        self._spikes = self._fire()
        self._is_settled = self._stays_without_input()
        return self._spikes

    def write_bias(self, mantissa: npt.NDArray[np.int32]) -> None:
        """Replace the bias mantissas, ``(batch or 1, neurons)``, from this step on."""
        self._set_bias(mantissa)
        self._is_settled = False

    def _set_bias(self, mantissa: int | npt.NDArray[np.int32] | IntArray) -> None:
        self._bias = shift(_as_int32(mantissa), self._lif.bias_exponent)
        self._bias_peak = magnitude(self._bias)

    def _is_reset_at(self, t: int) -> bool:
        interval = self._lif.reset_interval
        return interval is not None and t % interval == self._lif.reset_offset

    def _clear(self) -> None:
        self.u.fill(0)
        self.v.fill(0)
        self._u_bound = self._v_bound = 0

    def _integrate_u(self, current: Current | None) -> None:
        if self._decay_u.least == DECAY_UNITY:
            self.u.fill(0)
        elif self._decay_u.most:
            self.u = decay(self.u, self._decay_u.lost)
        bound = self._decay_u.bound(self._u_bound)
        if current is not None:
            bound += current.bound << INPUT_SHIFT
            if bound >= INT32_LIMIT:
                bound = magnitude(self.u) + (magnitude(current.values) << INPUT_SHIFT)
                require_int32(self._lif.name, "u", bound)
            self.u += current.values << INPUT_SHIFT
        if bound >= STATE_LIMIT:
            bound = self._wrap()
        self._u_bound = bound

    def _wrap(self) -> int:
        """Bring ``u`` back into its register, count where that was needed, return its bound."""
        bound = magnitude(self.u)
        if bound < STATE_LIMIT:
            return bound
        has_wrapped = (self.u > STATE_LIMIT) | (self.u <= -STATE_LIMIT)
        self.wraps += np.count_nonzero(has_wrapped, axis=1)
        self.u = wrap24(self.u)
        return magnitude(self.u)

    def _integrate_v(self) -> None:
        bound = self._decay_v.bound(self._v_bound) + self._u_bound + self._bias_peak
        require_int32(self._lif.name, "v", bound)
        if self._decay_v.least == DECAY_UNITY:
            np.add(self.u, self._bias, out=self.v)
        else:
            if self._decay_v.most:
                self.v = decay(self.v, self._decay_v.lost)
            self.v += self.u
            if self._bias_peak:
                self.v += self._bias
        self._now_saturated = None
        if bound >= STATE_LIMIT:
            bound = self._saturate()
        self._v_bound = bound

    def _saturate(self) -> int:
        """Limit ``v``, count where that was needed, and return its bound."""
        bound = magnitude(self.v)
        if bound < STATE_LIMIT:
            return bound
        is_beyond = (self.v >= STATE_LIMIT) | (self.v <= -STATE_LIMIT)
        self._now_saturated = np.count_nonzero(is_beyond, axis=1)
        self.saturations += self._now_saturated
        self.v = saturate(self.v)
        return STATE_LIMIT - 1

    def _fire(self) -> Emission | None:
        has_spiked = self.v > self._threshold
        if not has_spiked.any():
            return None
        np.copyto(self.v, 0, where=has_spiked)
        return Emission(has_spiked, 1)

    def _stays_without_input(self) -> bool:
        if self._u_bound == self._v_bound == self._bias_peak == 0:
            return True
        keeps_u = self._decay_u.most == 0 and self._u_bound < STATE_LIMIT
        return self._decay_v.least == DECAY_UNITY and (keeps_u or self._u_bound == 0)


class _Decay(NamedTuple):
    """What a register loses in a step, in 4096ths: of all neurons, or a row, and its range."""

    lost: int | IntArray
    least: int
    most: int

    @classmethod
    def of(cls, lost: int | IntArray) -> _Decay:
        return cls(lost, int(np.min(lost)), int(np.max(lost)))

    def bound(self, bound: int) -> int:
        """Return what ``bound`` becomes in a step without input."""
        return bound * (DECAY_UNITY - self.least) // DECAY_UNITY


def _as_int32(value: int | npt.NDArray[np.int32] | IntArray) -> npt.NDArray[np.int32]:
    return np.asarray(value, np.int32)
