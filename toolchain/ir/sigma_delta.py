"""Neurons that send changes instead of values: the sigma-delta populations of netx files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Delta:
    """Neurons that send how much their input has changed, once that is at least a threshold.

    Each time step, in 32-bit arithmetic::

        scale = 2 ** (spike_exponent + state_exponent)
        x = a * scale
        change = x - x[t-1] + residue
        s = change where |change| >= threshold * scale, else 0
        residue = change - s
        payload = s >> state_exponent                  rounding down

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        threshold: Least change that is sent, in units of ``a``; a scalar, or an array that
            broadcasts to ``shape``.
        spike_exponent: Binary places of a payload.
        state_exponent: Binary places that the state has beyond a payload.
        message_bits: Width of a payload including its sign.

    Source: ``lava.proc.sdn.models`` 0.10, ``PyDeltaModelFixed`` without cumulative error.
    """

    name: str
    shape: Shape
    threshold: int | IntArray
    spike_exponent: int = 6
    state_exponent: int = 6
    message_bits: int = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class SigmaDelta:
    """Neurons that sum up changes, rectify the sum, and send how much that has changed.

    Each time step, in 32-bit arithmetic::

        scale = 2 ** (spike_exponent + state_exponent)
        sigma = sigma + a
        x = max(sigma + bias * scale, 0)
        change = x - x[t-1] + residue
        s = change where |change| >= threshold * scale, else 0
        residue = change - s
        payload = s >> state_exponent                  rounding down

    ``residue`` does not hold what the last line rounds away: the receiver drifts by less than
    one unit a message.

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        threshold: Least change that is sent, in weight units; a scalar, or an array that
            broadcasts to ``shape``.
        bias: In weight units; a scalar, or an array that broadcasts to ``shape``.
        spike_exponent: Binary places of a payload.
        state_exponent: Binary places that the state has beyond a payload.
        message_bits: Width of a payload including its sign.

    Source: ``lava.proc.sdn.models`` 0.10, ``PySigmaDeltaModelFixed`` with rectification and
    without cumulative error.
    """

    name: str
    shape: Shape
    threshold: int | IntArray
    bias: int | IntArray = 0
    spike_exponent: int = 6
    state_exponent: int = 6
    message_bits: int = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Sigma:
    """Neurons that sum up changes and send the sum in every time step.

    In 32-bit arithmetic::

        sigma = sigma + a
        payload = sigma

    Attributes:
        name: Unique in the circuit.
        shape: ``(C, H, W)`` or ``(N,)``.
        message_bits: Width of a payload including its sign.

    Source: ``lava.proc.sdn.models`` 0.10, ``PySigmaModelFixed``.
    """

    name: str
    shape: Shape
    message_bits: int = 16
