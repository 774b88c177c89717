"""Samples to train on or to measure with, in memory or in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.training._torch import torch

Rows: TypeAlias = npt.NDArray[np.int64]


class Streamed(Protocol):
    """Samples that stay in their files; rows are read when they are asked for.

    Attributes:
        shape: ``(samples, *shape)``.
        dtype: Type of a value.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Part:
    """Samples and labels.

    Attributes:
        x: ``(samples, ...)``, as they come from the file: a tensor on the device, or
            `Streamed`.
        y: Labels of these samples on the device.
        rows: Which samples of ``x`` they are, if they are streamed.
    """

    x: Any
    y: Any
    rows: Rows | None = None

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.y)

    def batch(self, places: Any) -> tuple[Any, Any]:
        """Return samples as floats, and their labels, on the device.

        Args:
            places: A tensor of their numbers in this part.

        Raises:
            InputDataError: A file cannot be read.
        """
        places = places.to(self.y.device)
        if self.rows is None:
            x = self.x[places]
        else:
            x = torch.from_numpy(self.x[self.rows[places.cpu().numpy()]]).to(self.y.device)
        return x.float(), self.y[places]

    def batches(self, several: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Return batches one after the other; the next is read while one is in use.

        Args:
            several: Tensors of numbers, as for `batch`.
        """
        if self.rows is None:
            yield from map(self.batch, several)
            return
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self.batch, places) for places in several[:1]]
            for places in several[1:]:
                ready = coming.pop().result()
                coming.append(reader.submit(self.batch, places))
                yield ready
            yield from (last.result() for last in coming)


def part_of(x: Any, y: Rows, device: str, rows: Rows | None = None) -> Part:
    """Return samples of a data set on a device; those in files stay there.

    Args:
        x: ``(samples, *shape)``, an array or `Streamed`.
        y: Labels of all of them.
        device: As torch calls it.
        rows: Numbers of those to take; `None` takes all.
    """
    rows = np.arange(len(y)) if rows is None else rows
    labels = torch.tensor(y[rows], device=device)
    if isinstance(x, np.ndarray):
        # Copied, because arrays that were read from files cannot be written to.
        return Part(torch.tensor(x[rows], device=device), labels)
    return Part(x, labels, rows)


def typical(y: Rows, count: int) -> Rows:
    """Return numbers of samples that show all classes: the first, or, if sorted, evenly spread.

    Args:
        y: Labels of all samples.
        count: How many at most.
    """
    count = min(count, len(y))
    if np.all(y[1:] >= y[:-1]):
        return np.linspace(0, len(y) - 1, count).astype(np.int64)
    return np.arange(count)
