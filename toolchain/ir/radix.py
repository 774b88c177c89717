r"""Populations of a circuit that exchange binary numbers, a place in each time step.

Stock neurons cannot do it: these need a neuron program (microcode) of their own, which counts
time steps, doubles what it has gathered, and compares with another threshold in each step.
Registers are those of the chip, ``u`` and ``v`` of 24 bits in two's complement, and hold weight
units without any shift.

Whole numbers :math:`n < 2^B` travel in :math:`B` steps, the highest place first. After the last
of them a receiver that doubles its sum before each step holds

.. math::
    2 (\dots 2 (2 W s_{B-1} + W s_{B-2}) \dots) + W s_0 = W \sum_k 2^k s_k = W n,

and on the way never more than :math:`\sum_{W > 0} W n` nor less than :math:`\sum_{W < 0} W n`,
because it holds :math:`W \lfloor n / 2^k \rfloor`.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.fixedpoint import STATE_LIMIT
from toolchain.ir.node import IndexArray, Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Radix:
    """Neurons that gather binary numbers and fire the level of their sum as another one.

    In time step ``t`` from ``start`` on, counted from the first step of the run, they are in
    step ``p = (t - start) mod interval`` of their cycle. With the input current ``a`` and
    ``wrap`` for 24 bits in two's complement::

        u = wrap(2 * u + a)                                    in every step of the run
        v = min(wrap((u << shift) + bias), ceiling), u = 0     where p == 0
        s = v >= threshold << (places - 1 - p)                 where p < places, else 0
        v = v - (threshold << (places - 1 - p))                where s

    So the last place of what a window sends has to arrive in the step with ``p == 0``. What
    arrives later belongs to the next window, which may be gathered while this one is fired.

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        start: Time step, >= 0, in which the first window of the run is complete.
        interval: Steps of a cycle, >= ``places`` and >= 1.
        places: Binary places that are fired, 0 to 16; with 0 ``v`` is only read.
        threshold: What the lowest place is worth, > 0, and below 2**23 for the highest; a
            scalar, or an array that broadcasts to ``shape``.
        bias: Added to every sum, within 24 bits, likewise.
        shift: Places that a sum is shifted left by before the bias is added, 0 to 15, likewise:
            it makes thresholds finer than weights.
        ceiling: Largest ``v`` to start from: ``levels * threshold`` keeps neurons of fewer than
            ``2**places - 1`` levels from firing more; likewise.

    Source: ours, after H-MT and SpikeConverter, which weight spikes by their time step.
    """

    name: str
    shape: Shape
    start: int
    interval: int
    places: int
    threshold: int | IndexArray = 1
    bias: int | IndexArray = 0
    ceiling: int | IndexArray = STATE_LIMIT - 1
    shift: int | IndexArray = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class RadixMax:
    """Neurons that pass on the largest of several binary numbers, one step later.

    Input ``i`` has the weight ``2**i``, so that the current ``a`` is a mask of the inputs that
    spike. ``u`` is a mask of those that are still candidates. In step ``p`` of the cycle, as
    for `Radix`::

        u = all ones               where p == 0
        s = (u & a) != 0
        u = u & a                  where s

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        start: Time step, >= 0, in which the first place of the run arrives.
        interval: Steps of a cycle, >= 1.

    Source: ours.
    """

    name: str
    shape: Shape
    start: int
    interval: int
