r"""Membrane potentials: the half of a `Lif` step that decides who spikes.

A potential with a memory is an array like any other. One without (``decay_v`` = 4096) is
``u + bias`` in every step and needs no array: neurons spike where ``u`` exceeds the threshold
less the bias, and ``v`` is worked out only for who asks. The two differ where ``v`` saturates,
which the bounds rule out in almost every step; where they do not, ``v`` is worked out.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from targets.simulator._decay import Decay
from targets.simulator._emission import magnitude, require_int32
from targets.simulator._layout import parameter
from toolchain.fixedpoint import INPUT_SHIFT, STATE_LIMIT, decay, saturate, shift
from toolchain.ir.mapped import IntArray, Lif

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


class Membrane(Protocol):
    """Potentials of one population.

    Attributes:
        registers: Threshold, bias and counts of saturation.
        v: After the latest step and its spikes, ``(batch or 1, neurons)``.
        is_at_rest: Whether every potential is certainly 0.
    """

    registers: Registers

    @property
    def v(self) -> Ints: ...

    @property
    def is_at_rest(self) -> bool: ...

    def clear(self) -> None:
        """Set every potential to 0."""

    def fire(self, u: Ints, u_bound: int) -> Bools:
        """Integrate ``u``, of which no ``|value|`` exceeds ``u_bound``; return who spikes.

        Raises:
            RangeError: A potential leaves 32 bits before it is limited.
        """


class Registers:
    """What is set from outside, and what is counted.

    Attributes:
        name: Of the population.
        threshold: In the unit of ``v``, one number or a row.
        bias: In the unit of ``v``, one number, a row, or a row for each sample.
        bias_peak: No ``|bias|`` is larger.
        saturations: Per sample, how often a neuron's ``v`` was limited, ``(batch,)``.
    """

    def __init__(self, lif: Lif, batch: int) -> None:
        threshold = parameter(lif.threshold, lif.shape, lif.name, "threshold")
        self.name = lif.name
        self.threshold: Ints = np.asarray(threshold, np.int32) << INPUT_SHIFT
        self.saturations = np.zeros(batch, np.int64)
        self._exponent = lif.bias_exponent
        self._latest: IntArray | None = None
        self.write_bias(parameter(lif.bias_mantissa, lif.shape, lif.name, "bias"))

    def write_bias(self, mantissa: int | IntArray | Ints) -> None:
        """Set the bias mantissas."""
        self.bias: Ints = shift(np.asarray(mantissa, np.int32), self._exponent)
        self.bias_peak = magnitude(self.bias)
        self.threshold_less_bias: Ints = self.threshold - self.bias

    def limited(self, v: Ints) -> Ints | None:
        """Return ``v`` within its register and count; `None` if nothing needs to be limited."""
        self._latest = None
        if magnitude(v) < STATE_LIMIT:
            return None
        self._latest = np.count_nonzero((v >= STATE_LIMIT) | (v <= -STATE_LIMIT), axis=1)
        self.saturations += self._latest
        return saturate(v)

    def not_limited(self) -> None:
        """Note that nothing saturates in this step."""
        self._latest = None

    def repeat(self) -> None:
        """Count the saturations of the step before once more."""
        if self._latest is not None:
            self.saturations += self._latest


class Memory:
    """Potentials that keep something from step to step; see `Membrane`."""

    def __init__(self, registers: Registers, lost: Decay, batch: int, neurons: int) -> None:
        self.registers = registers
        self.v = np.zeros((batch, neurons), np.int32)
        self._lost = lost
        self._bound = 0

    @property
    def is_at_rest(self) -> bool:
        """See `Membrane`."""
        return self._bound == 0

    def clear(self) -> None:
        """See `Membrane.clear`."""
        self.v.fill(0)
        self._bound = 0

    def fire(self, u: Ints, u_bound: int) -> Bools:
        """See `Membrane.fire`."""
        registers = self.registers
        if self._lost.most:
            self.v = decay(self.v, self._lost.lost)
        self.v += u
        if registers.bias_peak:
            self.v += registers.bias
        self._bound = self._lost.bound(self._bound) + u_bound + registers.bias_peak
        require_int32(registers.name, "v", self._bound)
        registers.not_limited()
        if self._bound >= STATE_LIMIT:
            limited = registers.limited(self.v)
            self.v = self.v if limited is None else limited
            self._bound = magnitude(self.v)
        has_spiked: Bools = self.v > registers.threshold
        if has_spiked.any():
            self.v *= ~has_spiked
        return has_spiked


class NoMemory:
    """Potentials that are ``u + bias`` in every step; see `Membrane`."""

    def __init__(self, registers: Registers) -> None:
        self.registers = registers
        self.clear()

    @property
    def v(self) -> Ints:
        """See `Membrane`."""
        if self._limited is not None:
            return self._limited * ~self._has_spiked
        v: Ints = (self._u + self.registers.bias) * ~self._has_spiked
        return v

    @property
    def is_at_rest(self) -> bool:
        """See `Membrane`."""
        return self._bound == 0

    def clear(self) -> None:
        """See `Membrane.clear`."""
        self._u = np.zeros((1, 1), np.int32)
        self._limited: Ints | None = None
        self._has_spiked = np.ones((1, 1), np.bool_)
        self._bound = 0

    def fire(self, u: Ints, u_bound: int) -> Bools:
        """See `Membrane.fire`."""
        registers = self.registers
        self._bound = u_bound + registers.bias_peak
        require_int32(registers.name, "v", self._bound)
        registers.not_limited()
        self._limited = None
        if self._bound >= STATE_LIMIT:
            self._limited = registers.limited(u + registers.bias)
        self._u = u
        self._has_spiked = (
            u > registers.threshold_less_bias
            if self._limited is None
            else self._limited > registers.threshold
        )
        return self._has_spiked
