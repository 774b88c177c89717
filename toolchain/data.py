"""Samples and labels from npz files, read with suspicion, and arrays written to them.

A file of any size can be read a few samples at a time (`toolchain.npz_file` has how).

The samples of a model with one input are the array ``x``. Those of a model with several are
arrays of the inputs' names, and are read as one: flattened, one after the other.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.errors import InputDataError, OutputFolderError
from toolchain.ir.packing import pack, packed_shape
from toolchain.npz_file import (
    LARGEST_BYTES,
    Array,
    header_of,
    opened,
    read_array,
    read_rows,
    write_arrays,
)

Parts: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Samples:
    """What a network is run on.

    Attributes:
        x: ``(samples, *shape)``, one sample or more, finite, in the units of the model's input.
        y: Labels, integers ``(samples, ...)``; `None` if there are none.
        source: Path of the file they are from, for messages; empty if they are synthetic.
    """

    x: Array
    y: npt.NDArray[np.int64] | None = None
    source: str = ""

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``x``."""
        return self.x.shape


@dataclass(frozen=True)
class SampleFile:
    """What an npz file says of its samples, before they are read.

    Attributes:
        path: Of the file.
        shape: Of all samples, ``(samples, ...)``, one sample or more.
        is_labelled: Whether it holds ``y``.
        parts: Shapes of several inputs, by name; empty for a single one.
    """

    path: Path
    shape: tuple[int, ...]
    is_labelled: bool
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the samples."""
        return self.shape[0]

    @property
    def source(self) -> str:
        """Path of the file, for messages."""
        return str(self.path)


def load_samples(
    path: Path,
    shape: tuple[int, ...] | None,
    parts: Parts = MappingProxyType({}),
    *,
    labelled: bool | None,
    largest_bytes: int = LARGEST_BYTES,
) -> Samples:
    """Read the samples and, if asked for, the labels ``y`` of an npz file.

    Args:
        path: Of the file.
        shape: Of one sample; `None` takes any.
        parts: Shapes of several inputs, by name; empty for a single one.
        labelled: `True` requires labels, `False` leaves them unread, `None` reads them if they
            are there.
        largest_bytes: Memory that one array may take.

    Raises:
        InputDataError: The file cannot be read, lacks an array, or holds one that does not fit.
    """
    with opened(path) as archive:
        _require_parts(archive, parts, path)
        arrays = {
            name: read_array(archive, name, path, largest_bytes) for name in parts or ("x",)
        }
        has_labels = "y.npy" in archive.namelist() and "y" not in parts
        wanted = labelled or (labelled is None and has_labels)
        y = read_array(archive, "y", path, largest_bytes) if wanted else None
    for name, array in arrays.items():
        _check_values(array, path, name=name)
    x = pack(list(arrays.values()))
    samples = Samples(x, None if y is None else _labels(y, len(x), path), str(path))
    if shape is not None:
        require_shape(samples, shape)
    return samples


def describe_samples(path: Path, parts: Parts = MappingProxyType({})) -> SampleFile:
    """Return what a file says of its samples, without reading them.

    Args:
        path: Of the file.
        parts: Shapes of several inputs, by name; empty for a single one.

    Raises:
        InputDataError: The file cannot be read, or does not hold samples.
    """
    with opened(path) as archive:
        shape = _require_parts(archive, parts, path) or header_of(archive, "x", path).shape
        is_labelled = "y.npy" in archive.namelist() and "y" not in parts
        labels = header_of(archive, "y", path).shape if is_labelled else None
    _require_some(shape, path)
    if labels is not None:
        _require_as_many(labels, shape[0], path)
    return SampleFile(path, shape, is_labelled, parts)


def stream_samples(
    path: Path, size: int, parts: Parts = MappingProxyType({}), *, labelled: bool
) -> Iterator[Samples]:
    """Read the samples of a file a few at a time, in their order.

    Args:
        path: Of the file.
        size: How many to read at a time, at least 1; the last ones may be fewer.
        parts: Shapes of several inputs, by name; empty for a single one.
        labelled: Whether to read labels, too.

    Raises:
        InputDataError: The file cannot be read, lacks an array, or holds one that does not fit.
    """
    with opened(path) as archive:
        first = 0
        labels = read_rows(archive, "y", path, size) if labelled else itertools.repeat(None)
        names = tuple(parts) or ("x",)
        arrays = (read_rows(archive, name, path, size) for name in names)
        for rows in zip(*arrays, strict=True):
            for name, array in zip(names, rows, strict=True):
                _check_values(array, path, first, name=name)
            x, y = pack(rows), next(labels, None)
            yield Samples(x, None if y is None else _labels(y, len(x), path), str(path))
            first += len(x)


def synthetic_samples(shape: tuple[int, ...], count: int, seed: int = 0) -> Samples:
    """Return samples that stand for nothing: uniform in 0 to 1, the same for the same seed.

    Args:
        shape: Of one sample.
        count: How many, at least 1.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    return Samples(random.random((count, *shape), dtype=np.float32))


def require_shape(samples: Samples | SampleFile, shape: tuple[int, ...]) -> None:
    """Refuse samples that are not of the given shape, each.

    Raises:
        InputDataError: They are not; the message has both shapes.
    """
    found = samples.shape[1:]
    if found != tuple(shape):
        raise InputDataError(
            f"'x' holds samples of shape {found}; the model reads {tuple(shape)}",
            node=samples.source or None,
            hint=_shape_hint(samples.shape, tuple(shape)),
        )


@contextlib.contextmanager
def file_named(samples: Samples) -> Iterator[None]:
    """Let what is wrong with samples, if nothing is named yet, name the file they are from."""
    try:
        yield
    except InputDataError as error:
        node = error.node or samples.source or None
        raise InputDataError(error.problem, node=node, hint=error.hint) from None


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an npz file, which appears as a whole or not at all.

    Raises:
        OutputFolderError: The file cannot be written.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        write_arrays(aside, arrays)
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise OutputFolderError(
            f"cannot be written: {error.strerror or error}", node=str(path)
        ) from None


def _require_parts(
    archive: zipfile.ZipFile, parts: Parts, path: Path
) -> tuple[int, ...] | None:
    """Return the shape of all samples of several inputs as one array; `None` without parts.

    Raises:
        InputDataError: An array is missing, or has another shape or other number of samples.
    """
    samples: int | None = None
    for name, shape in parts.items():
        found = header_of(archive, name, path).shape
        samples = found[0] if samples is None and found else samples
        if not found or found != (samples, *shape):
            raise InputDataError(
                f"{name!r} has shape {found}; the model reads {(samples or 'samples', *shape)}",
                node=str(path),
                hint="save an array for each input, samples first: " + ", ".join(parts),
            )
    return None if samples is None else (samples, *packed_shape(list(parts.values())))


def _require_some(shape: tuple[int, ...], path: Path) -> None:
    if not shape or not shape[0]:
        raise InputDataError(
            f"'x' has shape {shape} and no samples; one or more are needed, samples first",
            node=str(path),
        )


def _require_as_many(shape: tuple[int, ...], samples: int, path: Path) -> None:
    if shape[:1] != (samples,):
        raise InputDataError(
            f"labels 'y' have shape {shape}; {samples} samples need {samples} labels",
            node=str(path),
        )


def _check_values(x: Array, path: Path, first: int = 0, *, name: str = "x") -> None:
    """Refuse what is not finite; ``first`` is the number of the first sample."""
    _require_some(x.shape, path)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        finite = np.isfinite(x)
        sample = np.argwhere(~finite)[0][0]
        raise InputDataError(
            f"{name!r} has {np.count_nonzero(~finite)} of {x.size} values that are NaN or "
            f"infinite, the first in sample {first + sample}",
            node=str(path),
            hint="remove these samples",
        )


def _labels(y: Array, samples: int, path: Path) -> npt.NDArray[np.int64]:
    if y.dtype.kind not in "biu":
        raise InputDataError(
            f"labels 'y' have type {y.dtype}; integers are read",
            node=str(path),
            hint="save the number of the class of each sample, as int64",
        )
    _require_as_many(y.shape, samples, path)
    return y.astype(np.int64)


def _shape_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return how ``x`` of shape ``found``, samples included, becomes what is wanted."""
    sample = found[1:]
    if found == wanted:
        return "add the axis of samples: x[None]"
    if len(wanted) == 3 and sample == (wanted[1], wanted[2], wanted[0]):
        return "move the channels first: x.transpose(0, 3, 1, 2)"
    if len(wanted) == 3 and sample == (wanted[2], wanted[0], wanted[1]):
        return "move the channels last: x.transpose(0, 2, 3, 1)"
    if sample == wanted[1:] and wanted[0] > 1:
        return f"repeat them along the first axis: x[:, None].repeat({wanted[0]}, axis=1)"
    if math.prod(sample) == math.prod(wanted):
        return f"reshape it: x.reshape{(-1, *wanted)}"
    return "bring the samples into the shape that the model declares"
