"""A data set in files: one npz file, or a folder of them, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from toolchain.data import (
    Parts,
    SampleFile,
    Samples,
    describe_samples,
    require_shape,
    stream_samples,
)
from toolchain.errors import InputDataError

PIECE_SAMPLES = 256
"""Samples that are read, run and sent back at a time."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Some samples of one file, next to each other.

    Attributes:
        file: They are from.
        start: Number of the first of them in the file.
        samples: Themselves.
    """

    file: SampleFile
    start: int
    samples: Samples


@dataclass(frozen=True)
class Shards:
    """The files of a data set.

    Attributes:
        files: In the order of their names.
        is_labelled: Whether they have labels, all of them.
    """

    files: tuple[SampleFile, ...]
    is_labelled: bool

    def __len__(self) -> int:
        """Count the samples."""
        return sum(map(len, self.files))

    def pieces(self) -> Iterator[Piece]:
        """Read all samples in order, one piece at a time.

        Where pieces begin and end depends on the files alone.

        Raises:
            InputDataError: A file cannot be read; the message names it.
        """
        for file in self.files:
            start = 0
            read = stream_samples(
                file.path, PIECE_SAMPLES, file.parts, labelled=self.is_labelled
            )
            for samples in read:
                yield Piece(file, start, samples)
                start += len(samples)


def find_shards(
    path: Path, shape: tuple[int, ...], parts: Parts = MappingProxyType({})
) -> Shards:
    """Return the data set at ``path``; all its files are looked at, and none is read.

    Args:
        path: Of an npz file, or of a folder with one or more of them.
        shape: Of one sample.
        parts: Shapes of several inputs, by name; empty for a single one.

    Raises:
        InputDataError: There is none, or a file does not fit; the message names it.
    """
    files = tuple(describe_samples(file, parts) for file in _files(path))
    for file in files:
        require_shape(file, shape)
        if file.is_labelled != files[0].is_labelled:
            without, labelled = sorted((files[0], file), key=lambda one: one.is_labelled)
            raise InputDataError(
                f"holds no labels 'y'; {labelled.path.name!r} beside it does",
                node=without.source,
                hint="save labels in all files or in none",
            )
    return Shards(files, files[0].is_labelled)


def _files(path: Path) -> list[Path]:
    try:
        is_folder = path.is_dir()
    except OSError:  # what opens it says why
        is_folder = False
    if not is_folder:
        return [path]
    found = sorted(file for file in path.glob("*.npz") if not file.name.startswith("."))
    if not found:
        raise InputDataError(
            "the folder holds no npz files",
            node=str(path),
            hint="save shards of the data set with numpy.savez('x_0.npz', x=x, y=y), ...",
        )
    return found
