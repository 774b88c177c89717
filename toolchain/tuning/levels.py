"""How many levels to take: the fewest that keep the answers of the source network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

LEVELS_TRIED = (7, 15, 31, 63)
RADIX_LEVELS_TRIED = (*LEVELS_TRIED, 127, 255)
"""In the radix lowering twice the levels are one more step."""

AGREEMENT_WANTED = 0.99


@dataclass(frozen=True)
class Choice:
    """A number of levels, and the share of calibration samples on which the answers agree."""

    levels: int
    agreement: float

    @property
    def is_enough(self) -> bool:
        """Whether the agreement is what is wanted."""
        return self.agreement >= AGREEMENT_WANTED


def choose_levels(
    agreement_of: Callable[[int], float], tried: Iterable[int] = LEVELS_TRIED
) -> Choice:
    """Return the first number of levels whose answers agree on 99 % of the samples.

    Where none does, the one that agrees most often, the fewest of equals.

    Args:
        agreement_of: Share of answers that agree with a number of levels, 0 to 1.
        tried: Numbers of levels, ascending.
    """
    best = Choice(0, -1.0)
    for levels in tried:
        choice = Choice(levels, agreement_of(levels))
        if choice.agreement > best.agreement:
            best = choice
        if choice.is_enough:
            return choice
    return best
