r"""What a population's registers hold, by lowering: the one place that knows how neurons fit.

A stock neuron compares :math:`v > \mathit{threshold}` and resets to zero, and its threshold
register is one number for the population. Our neurons compare :math:`m \ge \theta_c`, per
channel, and subtract. Two facts bridge the gap, where nothing decays and :math:`v = u +
\mathit{bias}`:

- a constant added to :math:`u`, or in the bias register, is a threshold shifted the other way;
- on integers, :math:`m \ge \theta` is :math:`m > \theta - 1`.

With the input current bounded by :math:`-N \le a \le P` at every moment of a window, and the
constant part :math:`o_c` = bias + initial potential:

**Temporal.** The threshold register holds 0. :math:`u` starts at :math:`o_c + 1 - \theta_c`,
and :math:`G` below that until the window is complete, where :math:`G` is the largest value that
:math:`u` of any channel could otherwise reach; so none is above 0 while it integrates. The
lowest value is :math:`\min_c (o_c + 1 - \theta_c - N_c) - G`.

**Spatial.** Copy :math:`k` has the bias :math:`o_c + \tau + 1 - k \theta_c` for a threshold
register :math:`\tau`. Bias registers are narrow. Where that would cost too much resolution,
every copy gets a threshold register of its own, :math:`\tau = k \theta_c - o_c - 1`, and no
bias unless that is negative.

With several windows copies need a memory, so they have that of the temporal lowering:
:math:`u` of copy :math:`k` starts at :math:`o_c + 1 - k \theta_c`, a gate holds it below 0, and
it is open for one step.

**Radix.** A neuron program has registers of its own: a threshold, a bias :math:`o_c` and a
ceiling :math:`L \theta_c`, a number for each neuron, all in weight units without a shift. The
threshold of the highest place, :math:`2^{B - 1} \theta_c`, has to fit, and sums from :math:`o_c
- N_c` to :math:`o_c + P_c`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.fixedpoint import DIGIT_BITS
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.snn import IntegrateFire, RadixFire, Spiking, ThresholdBank
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Demand:
    """What the channels of a population ask of their registers, in weight units.

    Attributes:
        threshold: ``(C,)``, > 0.
        constant: ``(C,)`` or ``(C, positions)``: bias and initial potential together.
        low: ``(C,)``, the largest sum of negative input current, as a magnitude.
        high: ``(C,)``, the largest sum of positive input current.
    """

    threshold: Ints
    constant: Ints
    low: Ints
    high: Ints

    @property
    def constant_range(self) -> tuple[Ints, Ints]:
        """Smallest and largest constant of each channel, ``(C,)`` each."""
        flat = self.constant.reshape(len(self.threshold), -1)
        return flat.min(axis=1), flat.max(axis=1)


@dataclass(frozen=True)
class TemporalRegisters:
    """Registers of a population that integrates, then fires.

    Attributes:
        threshold: Of the population.
        start: As `Demand.constant`: what ``u`` holds before any input.
        gate: What is taken from ``u`` while it integrates.
    """

    threshold: int
    start: Ints
    gate: int


@dataclass(frozen=True)
class GatedRegisters:
    """Registers of copies that gather several windows; the threshold register holds 0.

    Attributes:
        start: ``(C, levels, positions)``: what ``u`` holds before any input.
        gate: What is taken from ``u`` while it gathers.
    """

    start: Ints
    gate: int


@dataclass(frozen=True)
class SpatialRegisters:
    """Registers of the copies of a population.

    Attributes:
        threshold: Of all copies, or ``(C, levels, positions)``.
        bias: ``(C, levels, positions)``: bias mantissas, at exponent 6.
    """

    threshold: int | Ints
    bias: Ints


@dataclass(frozen=True)
class RadixRegisters:
    """Registers of a population that fires binary numbers.

    Attributes:
        threshold: ``(C,)``, of the lowest place.
        bias: As `Demand.constant`.
        ceiling: ``(C,)``: what a neuron starts to fire from at most.
    """

    threshold: Ints
    bias: Ints
    ceiling: Ints


def demand_of(neurons: Spiking, *layers: Dense | Conv) -> Demand:
    """Return what the neurons behind layers, whose sum they read, ask of their registers."""
    threshold = neurons.threshold.ravel()
    constant = sum((np.asarray(layer.bias, np.int64) for layer in layers), neurons.initial)
    return Demand(
        threshold=threshold,
        constant=constant.reshape(len(threshold), -1),
        low=neurons.low,
        high=neurons.high,
    )


def temporal_registers(demand: Demand) -> TemporalRegisters:
    """Return the registers of the temporal lowering."""
    start = demand.constant + _along(1 - demand.threshold, demand.constant)
    highest = demand.constant_range[1] + 1 - demand.threshold + demand.high
    return TemporalRegisters(0, start, max(int(highest.max()), 0))


def excess_of(
    demand: Demand, neurons: Spiking, target: Target, *, own_thresholds: bool
) -> Bools:
    """Tell which channels do not fit, ``(C,)``, by what the neurons are lowered to.

    Args:
        demand: Of the population.
        neurons: The population.
        target: The chip.
        own_thresholds: Whether copies may have thresholds of their own (spatial lowering).
    """
    if isinstance(neurons, IntegrateFire):
        return temporal_excess(demand, target)
    if isinstance(neurons, RadixFire):
        return radix_excess(demand, neurons.places, target)
    if isinstance(neurons, ThresholdBank) and neurons.gathers:
        return gated_excess(demand, neurons.levels, target)
    return spatial_excess(demand, neurons.levels, target, own_thresholds=own_thresholds)


def temporal_excess(demand: Demand, target: Target) -> Bools:
    """Tell which channels overflow ``u`` or have a threshold that no synapse can subtract.

    Half of the register is for positive sums and half for negative ones, so that whether a
    channel fits does not depend on the others.
    """
    lowest, highest = demand.constant_range
    half = target.current_max // 2
    too_high = highest + 1 - demand.threshold + demand.high > half
    too_low = demand.low + demand.threshold - 1 - lowest > half
    return (
        too_high
        | too_low
        | (demand.threshold > target.weight_max << target.weight_exponent.value)
    )


def gated_registers(demand: Demand, levels: int) -> GatedRegisters:
    """Return the registers of copies that gather several windows before they fire."""
    start = _wanted(demand, levels)
    highest = start.max(axis=(1, 2)) + demand.high
    return GatedRegisters(start, max(int(highest.max()), 0))


def gated_excess(demand: Demand, levels: int, target: Target) -> Bools:
    """Tell which channels overflow ``u`` where copies gather windows; as `temporal_excess`."""
    start = _wanted(demand, levels)
    half = target.current_max // 2
    too_high = start.max(axis=(1, 2)) + demand.high > half
    return too_high | (demand.low - start.min(axis=(1, 2)) > half)


def radix_registers(demand: Demand, levels: int, target: Target) -> RadixRegisters:
    """Return the registers of the radix lowering."""
    ceiling = np.minimum(levels * demand.threshold, target.state_max)
    return RadixRegisters(demand.threshold, demand.constant, ceiling)


def radix_excess(demand: Demand, places: int, target: Target) -> Bools:
    """Tell which channels overflow a sum, or the threshold of the highest place."""
    lowest, highest = demand.constant_range
    reach = [demand.low, demand.high, demand.low - lowest, demand.high + highest]
    return np.maximum(np.max(reach, axis=0), demand.threshold << (places - 1)) > (
        target.state_max
    )


def largest_threshold(neurons: Spiking, target: Target) -> int:
    """Return the largest threshold that the registers of the lowering can hold."""
    if isinstance(neurons, RadixFire):
        return target.state_max >> (neurons.places - 1)
    return target.threshold_max


def output_max(lowering: str, target: Target) -> int:
    """Return the largest magnitude that an output can have on the chip, in weight units."""
    return target.state_max if lowering == "radix" else target.current_max


def spatial_registers(demand: Demand, levels: int, target: Target) -> SpatialRegisters:
    """Return the registers of the spatial lowering: one threshold if biases can do the rest."""
    if spatial_excess(demand, levels, target, own_thresholds=False).any():
        return _with_own_thresholds(demand, levels)
    return _with_one_threshold(demand, levels, target)


def spatial_excess(
    demand: Demand, levels: int, target: Target, *, own_thresholds: bool
) -> Bools:
    """Tell which channels overflow ``u``, ``v``, which adds the bias, or a register.

    Args:
        demand: Of the population.
        levels: Copies of each neuron.
        target: The chip.
        own_thresholds: Whether copies may have thresholds of their own.
    """
    if own_thresholds:
        registers = _with_own_thresholds(demand, levels)
    else:
        registers = _with_one_threshold(demand, levels, target)
    outside = np.abs(registers.bias) > target.bias_max
    outside |= np.asarray(registers.threshold) > target.threshold_max
    bias = registers.bias.reshape(len(demand.threshold), -1)
    lowest = np.minimum(bias.min(axis=1), 0) - demand.low
    highest = np.maximum(bias.max(axis=1), 0) + demand.high
    sums = np.maximum(-lowest, highest) > target.current_max
    return sums | outside.reshape(bias.shape[0], -1).any(axis=1)


def _with_one_threshold(demand: Demand, levels: int, target: Target) -> SpatialRegisters:
    wanted = _wanted(demand, levels)
    threshold = int(np.clip(target.bias_max - wanted.max(), 0, target.threshold_max))
    return SpatialRegisters(threshold, wanted + threshold)


def _with_own_thresholds(demand: Demand, levels: int) -> SpatialRegisters:
    wanted = _wanted(demand, levels)
    return SpatialRegisters(np.maximum(-wanted, 0), np.maximum(wanted, 0))


def _wanted(demand: Demand, levels: int) -> Ints:
    """Return bias less threshold of each copy, ``(C, levels, positions)``."""
    steps = np.arange(1, levels + 1)
    constant = demand.constant.reshape(len(demand.threshold), 1, -1)
    return constant + 1 - (demand.threshold[:, None] * steps)[:, :, None]


def largest_weight(layer: Dense | Conv, target: Target) -> int:
    """Return the largest weight that a layer may have: of a synapse, or of two digits."""
    if isinstance(layer, Conv) and layer.is_skip:
        return int(target.weight_max) << DIGIT_BITS
    return int(target.weight_max)


def shared_exponent(threshold: Ints, target: Target) -> int:
    """Return the exponent at which one synapse can hold the largest of the thresholds."""
    exponent = 0
    while int(threshold.max()) > target.weight_max << exponent:
        exponent += 1
    return exponent


def _along(per_channel: Ints, like: Ints) -> Ints:
    """Append axes of length 1 until ``per_channel`` broadcasts against ``like``."""
    return per_channel.reshape(*per_channel.shape, *(1,) * (like.ndim - per_channel.ndim))
