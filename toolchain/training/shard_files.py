"""Samples in many npz files, of which only the rows that are asked for are read.

The arrays are mapped into memory where they lie in their files, so that rows can be read in any
order. That needs files that are not compressed, as ``numpy.savez`` writes them.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import describe_samples
from toolchain.errors import InputDataError

Array: TypeAlias = npt.NDArray[Any]
Labels: TypeAlias = npt.NDArray[np.int64]

_NPY: Any = np.lib.format  # numpy types none of its functions
_LOCAL_HEADER = 30
_LENGTHS = slice(26, 30)


class ShardFiles:
    """Rows of several files, one after the other.

    Attributes:
        parts: Arrays in files, ``(samples, *shape)`` each.
    """

    def __init__(self, parts: list[Array]) -> None:
        self.parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows together."""
        return (len(self), *self.parts[0].shape[1:])

    def __len__(self) -> int:
        """Count the samples."""
        return int(self._ends[-1])

    def __getitem__(self, rows: Array) -> Array:
        """Read the rows with these numbers.

        Raises:
            InputDataError: A value is not finite.
        """
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        files = np.searchsorted(self._ends, rows, side="right")
        for file in np.unique(files):
            part, here = self.parts[file], files == file
            found[here] = part[rows[here] - (self._ends[file] - len(part))]
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            bad = rows[~np.isfinite(found.reshape(len(rows), -1)).all(axis=1)]
            raise InputDataError(f"sample {bad[0]} of all has values that are NaN or infinite")
        return found


def find_shards(folder: Path) -> tuple[ShardFiles, Labels]:
    """Return the samples of all npz files of a folder, in the order of their names, and labels.

    Raises:
        InputDataError: There is none, or one is damaged, compressed, without labels or of other
            samples than the first; it is named.
    """
    paths = sorted(path for path in folder.glob("*.npz") if path.name[:1] != ".")
    if not paths:
        raise InputDataError(
            "the folder holds no npz files",
            node=str(folder),
            hint="save shards of the data set with numpy.savez('x_0.npz', x=x, y=y), ...",
        )
    parts: list[Array] = []
    labels: list[Labels] = []
    for path in paths:
        parts.append(_mapped(path))
        labels.append(_labels(path))
        first, last = parts[0], parts[-1]
        if (first.shape[1:], first.dtype) != (last.shape[1:], last.dtype):
            raise InputDataError(
                f"holds samples of shape {last.shape[1:]} and type {last.dtype}; those of "
                f"{paths[0].name!r} have {first.shape[1:]} and {first.dtype}",
                node=str(path),
            )
    return ShardFiles(parts), np.concatenate(labels)


def _mapped(path: Path) -> Array:
    """Return the array ``x`` of a file, which stays there."""
    described = describe_samples(path)
    if not described.is_labelled:
        raise InputDataError(
            "holds no array 'y'", node=str(path), hint="save integer labels as 'y'"
        )
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("x.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise InputDataError(
                "is compressed, and rows of a compressed file cannot be read alone",
                node=str(path),
                hint="save it with numpy.savez, which does not compress",
            )
        with archive.open(entry) as stream:
            version = _NPY.read_magic(stream)
            read = (
                _NPY.read_array_header_1_0 if version == (1, 0) else _NPY.read_array_header_2_0
            )
            shape, is_fortran, dtype = read(stream)
            header = stream.tell()
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<HH", file.read(_LOCAL_HEADER)[_LENGTHS])
    start = entry.header_offset + _LOCAL_HEADER + name + extra + header
    order: Any = "F" if is_fortran else "C"
    try:
        return np.memmap(path, dtype, "r", start, shape, order)
    except (OSError, ValueError):
        raise InputDataError(
            "array 'x' is truncated", node=str(path), hint="copy or save the file again"
        ) from None


def _labels(path: Path) -> Labels:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            y = arrays["y"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise InputDataError(
            "array 'y' is truncated or damaged", node=str(path), hint="save the file again"
        ) from None
    if y.ndim != 1 or y.dtype.kind not in "biu" or y.min() < 0:
        raise InputDataError(
            "labels 'y' must be one whole number from 0 for each sample", node=str(path)
        )
    return y.astype(np.int64)
