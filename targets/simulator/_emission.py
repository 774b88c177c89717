"""What travels in one time step: spikes out of a node, input current into a population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolchain.errors import RangeError

INT32_LIMIT = 1 << 31


class Emission(NamedTuple):
    """Spikes or payloads that a node sends in one time step, at least one of them not 0.

    Attributes:
        values: ``(batch, neurons)``, or ``(1, neurons)`` where all samples get the same.
        peak: No ``|value|`` is larger.
    """

    values: npt.NDArray[np.bool_] | npt.NDArray[np.int32]
    peak: int


class Current(NamedTuple):
    """Input current that reaches a population in one time step.

    Attributes:
        values: ``(batch, neurons)``, or ``(1, neurons)`` where all samples get the same.
        bound: No ``|value|`` is larger; below ``2**31``.
    """

    values: npt.NDArray[np.int32]
    bound: int


def magnitude(x: npt.NDArray[Any]) -> int:
    """Return the largest ``|x|``; 0 if there is none."""
    return max(int(x.max()), -int(x.min())) if x.size else 0


def emission(values: npt.NDArray[np.int32]) -> Emission | None:
    """Wrap ``(batch, neurons)`` payloads; `None` if all are 0."""
    peak = magnitude(values)
    return Emission(values, peak) if peak else None


def add_currents(name: str, currents: Sequence[Current]) -> Current | None:
    """Return the sum of what reaches the population ``name``; `None` if nothing does.

    Raises:
        RangeError: The sum leaves the 32 bits in which Lava computes it.
    """
    if len(currents) <= 1:
        return currents[0] if currents else None
    bound = sum(current.bound for current in currents)
    if bound >= INT32_LIMIT:
        bound = sum(magnitude(current.values) for current in currents)
        require_int32(name, "the sum of input currents", bound)
    values = currents[0].values
    for current in currents[1:]:
        values = values + current.values
    return Current(values, bound)


def require_int32(name: str, what: str, reached: int) -> None:
    """Check that ``what`` of the node ``name`` has room in 32 bits.

    Raises:
        RangeError: It has none.
    """
    if reached >= INT32_LIMIT:
        raise RangeError(
            f"{what} reaches {reached}; the simulator adds up to {INT32_LIMIT - 1}",
            node=name,
            hint="use smaller weights or payloads",
        )
