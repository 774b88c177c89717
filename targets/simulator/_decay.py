"""What a register loses in one time step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.mapped import IntArray


class Decay(NamedTuple):
    """Parts of a register lost per step, in 4096ths.

    Attributes:
        lost: Of all neurons, or a row.
        least: The smallest of them.
        most: The largest of them.
    """

    lost: int | IntArray
    least: int
    most: int

    @classmethod
    def of(cls, lost: int | IntArray) -> Decay:
        """Return the decay of one number or a row."""
        return cls(lost, int(np.min(lost)), int(np.max(lost)))

    @property
    def is_total(self) -> bool:
        """Whether no neuron keeps anything."""
        return self.least == DECAY_UNITY

    def bound(self, bound: int) -> int:
        """Return what remains of ``bound`` in the neurons that keep most."""
        return bound * (DECAY_UNITY - self.least) // DECAY_UNITY
