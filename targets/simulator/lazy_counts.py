"""Spike counts that nobody has asked for yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy.typing as npt


class LazyCounts(Mapping[str, "npt.NDArray[Any]"]):
    """Spike counts by population, computed when the first of them is read.

    A run leaves nothing but its readout; counts of all neurons would fill the memory of the
    device, or the way to the host. Who reads one pays for a second run.

    Args:
        names: Of the populations, in the order of the graph.
        compute: Returns the counts of all of them.
    """

    def __init__(
        self, names: Sequence[str], compute: Callable[[], Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        self._names = names
        self._compute = compute

    @cached_property
    def _counts(self) -> Mapping[str, npt.NDArray[Any]]:
        return self._compute()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return the counts ``(samples, *shape)`` of a population."""
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count the populations."""
        return len(self._names)
