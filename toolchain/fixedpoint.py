r"""Integer arithmetic of a Loihi neuron's registers, one function per rule.

Everything works elementwise on integer arrays of any shape and keeps their type. The registers
``u`` and ``v`` have 24 bits with sign; what does not fit wraps (``u``, the sum of a
convolution) or saturates (``v``).

Decay. The chip keeps ``x * (4096 - lost) / 4096``, truncated toward zero. The product has at
most ``bits(x) + 12`` significant bits and the division moves only the binary point, so for
``|x| < 2**41`` a float64 holds the quotient exactly, and its conversion to an integer truncates
toward zero: one multiplication and one conversion, no sign to take apart.

Source: ``lava.proc.lif.models`` 0.10, ``AbstractPyLifModelFixed.subthr_dynamics``, and
``lava.proc.conv.utils.signed_clamp``.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

IntegerT = TypeVar("IntegerT", np.int32, np.int64)

STATE_BITS = 24
"""Width of ``u`` and ``v`` with their sign."""

STATE_LIMIT = 1 << (STATE_BITS - 1)
"""2**23: ``|v|`` stays below it."""

DECAY_UNITY = 1 << 12
"""Decays are counted in 4096ths lost per time step."""

INPUT_SHIFT = 6
"""Input currents and thresholds are shifted left by this much to meet ``u`` and ``v``."""


DIGIT_BITS = 7
"""Bits of a digit when an integer is spread over several synapses; digits are -127 to 127."""


def decay(x: npt.NDArray[IntegerT], lost: int | npt.NDArray[np.int64]) -> npt.NDArray[IntegerT]:
    """Return ``x * (4096 - lost) / 4096``, truncated toward zero.

    Args:
        x: State, ``|x| < 2**41``.
        lost: 4096ths lost, 0 to 4096; one number, or an array that broadcasts to ``x``.
    """
    return (x * ((DECAY_UNITY - lost) / DECAY_UNITY)).astype(x.dtype)


def wrap24(u: npt.NDArray[IntegerT]) -> npt.NDArray[IntegerT]:
    """Bring ``u`` back into its register the way Lava does: by at most one turn.

    ``u > 2**23`` loses ``2**24`` and ``u <= -2**23`` gains as much. This differs from two's
    complement in two places: ``-2**23`` and ``2**23`` both become ``2**23``, and a value more
    than one turn away stays outside the register.
    """
    turn = 2 * STATE_LIMIT
    return np.where(u > STATE_LIMIT, u - turn, np.where(u <= -STATE_LIMIT, u + turn, u))


def wrap_sum(a: npt.NDArray[IntegerT]) -> npt.NDArray[IntegerT]:
    """Return ``a`` as a 24-bit two's complement number, ``-2**23`` to ``2**23 - 1``."""
    return (a + STATE_LIMIT) % (2 * STATE_LIMIT) - STATE_LIMIT


def saturate(v: npt.NDArray[IntegerT]) -> npt.NDArray[IntegerT]:
    """Return ``v`` limited to ``-(2**23 - 1)`` to ``2**23 - 1``."""
    return np.clip(v, 1 - STATE_LIMIT, STATE_LIMIT - 1)


def shift(a: npt.NDArray[IntegerT], exponent: int) -> npt.NDArray[IntegerT]:
    """Return ``a << exponent``; for a negative one ``a >> -exponent``, rounded down."""
    return a << exponent if exponent >= 0 else a >> -exponent
