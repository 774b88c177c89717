r"""Leaky integrate-and-fire populations: one step of `Lif` for a whole batch.

Two things make a step cheap without changing a bit of it.

*Bounds.* Beside the state stand numbers that no ``|u|`` and no ``|v|`` exceeds, and that follow
the same equations. Only when one of them reaches ``2**23`` are the values themselves looked at,
and the bound becomes exact again: that a register cannot overflow is mostly known without
looking.

*Settling.* Without input some populations stay as they are: those at rest without a bias, and
those with neither decay of ``u`` nor memory in ``v`` (``v = u + bias`` in every step, so the
same neurons spike again). Their step is skipped.
"""

from __future__ import annotations

import numpy as np

from targets.simulator._decay import Decay
from targets.simulator._emission import (
    INT32_LIMIT,
    Current,
    Emission,
    magnitude,
    require_int32,
)
from targets.simulator._layout import parameter
from targets.simulator._membrane import Ints, Membrane, Memory, NoMemory, Registers
from toolchain.fixedpoint import INPUT_SHIFT, STATE_LIMIT, decay, wrap24
from toolchain.ir.mapped import IntArray, Lif


class LifState:
    """State of one population for a batch of samples, at rest to begin with.

    Where all samples are alike so far, arrays may have one row for all of them.

    Attributes:
        u: Synaptic current ``(batch or 1, neurons)``.
        wraps: Per sample, how often a neuron's ``u`` left its register, ``(batch,)``.
    """

    def __init__(self, lif: Lif, neurons: int, batch: int) -> None:
        self._lif = lif
        self._lost = Decay.of(parameter(lif.decay_u, lif.shape, lif.name, "decay_u"))
        self._nothing = np.zeros((1, neurons), np.int32)
        self.u = np.zeros((1 if self._lost.is_total else batch, neurons), np.int32)
        self.wraps = np.zeros(batch, np.int64)
        registers = Registers(lif, batch)
        lost = Decay.of(parameter(lif.decay_v, lif.shape, lif.name, "decay_v"))
        self._membrane: Membrane = (
            NoMemory(registers) if lost.is_total else Memory(registers, lost, batch, neurons)
        )
        self._bound = 0
        self._is_settled = not registers.bias_peak
        self._spikes: Emission | None = None

    @property
    def v(self) -> Ints:
        """Membrane potential ``(batch or 1, neurons)``."""
        return self._membrane.v

    @property
    def saturations(self) -> IntArray:
        """Per sample, how often a neuron's ``v`` was limited, ``(batch,)``."""
        return self._membrane.registers.saturations

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return the spikes.

        Raises:
            RangeError: A sum leaves 32 bits, where Lava's arithmetic ends.
        """
        if self._is_reset_at(t):
            self._clear()
        elif current is None and self._is_settled:
            self._membrane.registers.repeat()
            return self._spikes
        self._integrate(current)
        has_spiked = self._membrane.fire(self.u, self._bound)
        self._spikes = Emission(has_spiked, 1) if has_spiked.any() else None
        self._is_settled = self._stays_without_input()
        return self._spikes

    def write_bias(self, mantissa: Ints) -> None:
        """Replace the bias mantissas, ``(batch or 1, neurons)``, from this step on."""
        self._membrane.registers.write_bias(mantissa)
        self._is_settled = False

    def _is_reset_at(self, t: int) -> bool:
        interval = self._lif.reset_interval
        return interval is not None and t % interval == self._lif.reset_offset

    def _clear(self) -> None:
        if self._bound:
            self.u.fill(0)
        self._bound = 0
        if not self._membrane.is_at_rest:
            self._membrane.clear()

    def _integrate(self, current: Current | None) -> None:
        if self._lost.most and not self._lost.is_total:
            self.u = decay(self.u, self._lost.lost)
        bound = self._lost.bound(self._bound)
        if current is not None:
            bound += current.bound << INPUT_SHIFT
            if bound >= INT32_LIMIT:
                bound = magnitude(self.u) + (magnitude(current.values) << INPUT_SHIFT)
                require_int32(self._lif.name, "u", bound)
        arrived = self._nothing if current is None else current.values << INPUT_SHIFT
        if self._lost.is_total:
            self.u = arrived
        elif current is not None:
            self.u += arrived
        self._bound = self._wrapped_bound() if bound >= STATE_LIMIT else bound

    def _wrapped_bound(self) -> int:
        """Bring ``u`` back into its register, count where that was needed, return its bound."""
        bound = magnitude(self.u)
        if bound < STATE_LIMIT:
            return bound
        has_wrapped = (self.u > STATE_LIMIT) | (self.u <= -STATE_LIMIT)
        self.wraps += np.count_nonzero(has_wrapped, axis=1)
        self.u = wrap24(self.u)
        return magnitude(self.u)

    def _stays_without_input(self) -> bool:
        if self._membrane.is_at_rest and self._bound == 0:
            return True
        if not isinstance(self._membrane, NoMemory):
            return False
        return self._bound == 0 or (self._lost.most == 0 and self._bound < STATE_LIMIT)
