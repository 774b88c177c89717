"""Arrays of npz files, read with suspicion.

An npz file is a zip archive of arrays, and a stranger may have made it: nothing is unpickled,
and an array is refused by the size it declares before any memory is taken for it.
"""

from __future__ import annotations

import contextlib
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.errors import InputDataError

Array: TypeAlias = npt.NDArray[Any]

LARGEST_BYTES = 4 * 2**30
"""Memory that one array of a file may take."""

_NPY: Any = np.lib.format  # numpy types none of its functions
_NUMERIC = "biuf"
_MISSING_HINTS = {"x": "save the samples as 'x'", "y": "save integer labels as 'y'"}
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    ValueError,
)
"""What Python and numpy raise for damaged archives and arrays."""


class Header(NamedTuple):
    """What an npy file says of itself."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays of any names to an npz file; ``numpy.savez`` takes none called ``file``.

    Raises:
        OSError: The file cannot be written.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                _NPY.write_array(stream, np.asanyarray(array), allow_pickle=False)


def opened(path: Path) -> zipfile.ZipFile:
    """Return an npz file, opened.

    Raises:
        InputDataError: It is none, or cannot be read.
    """
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputDataError("there is no such file", node=str(path)) from None
    except OSError as error:
        raise InputDataError(
            f"cannot be read: {error.strerror or error}", node=str(path)
        ) from None
    except _UNREADABLE:
        raise _not_an_archive(path) from None


def _not_an_archive(path: Path) -> InputDataError:
    with path.open("rb") as stream:
        start = stream.read(6)
    if start == b"\x93NUMPY":
        problem = "is a single npy array; an npz file with an array 'x' is read"
        return InputDataError(
            problem, node=str(path), hint="save it with numpy.savez(path, x=x)"
        )
    if start.startswith(b"PK"):
        problem = "is a truncated or damaged npz file"
        return InputDataError(problem, node=str(path), hint="copy or save the file again")
    problem = "is not an npz file"
    return InputDataError(problem, node=str(path), hint="save it with numpy.savez(path, x=x)")


def read_array(archive: zipfile.ZipFile, name: str, path: Path, largest_bytes: int) -> Array:
    """Return a whole array.

    Raises:
        InputDataError: It is damaged, holds no numbers, or takes more than ``largest_bytes``.
    """
    header = header_of(archive, name, path)
    size = math.prod(header.shape) * header.dtype.itemsize
    if size > largest_bytes:
        raise InputDataError(
            f"{name!r} declares {header.shape} values of type {header.dtype}, {size} bytes; "
            f"{largest_bytes} are read at most",
            node=str(path),
            hint="use fewer samples",
        )
    with _reading(name, path), archive.open(f"{name}.npy") as stream:
        array: Array = _NPY.read_array(stream, allow_pickle=False)
    return array


def read_rows(archive: zipfile.ZipFile, name: str, path: Path, size: int) -> Iterator[Array]:
    """Read an array some rows at a time; one in Fortran's order has no rows to read by."""
    header = header_of(archive, name, path)
    if header.is_fortran:
        whole = read_array(archive, name, path, LARGEST_BYTES)
        yield from (whole[start : start + size] for start in range(0, len(whole), size))
        return
    row_bytes = math.prod(header.shape[1:]) * header.dtype.itemsize
    with _reading(name, path), archive.open(f"{name}.npy") as stream:
        _read_header(stream)
        for start in range(0, header.shape[0], size):
            rows = min(size, header.shape[0] - start)
            content = stream.read(rows * row_bytes)
            part = np.frombuffer(content, header.dtype)  # a ValueError if some are missing
            yield part.reshape(rows, *header.shape[1:])


def header_of(archive: zipfile.ZipFile, name: str, path: Path) -> Header:
    """Return what an array says of itself, before it takes memory; refuse what is no number."""
    entry = f"{name}.npy"
    if entry not in archive.namelist():
        held = sorted(file.removesuffix(".npy") for file in archive.namelist())[:8]
        raise InputDataError(
            f"holds no array {name!r}; it holds {', '.join(map(repr, held)) or 'nothing'}",
            node=str(path),
            hint=_MISSING_HINTS.get(name, f"save what the input {name!r} takes under its name"),
        )
    with _reading(name, path), archive.open(entry) as stream:
        header = _read_header(stream)
    if header.dtype.kind not in _NUMERIC:
        held_type = (
            "Python objects" if header.dtype.hasobject else f"values of type {header.dtype}"
        )
        raise InputDataError(
            f"{name!r} holds {held_type}; real numbers are read",
            node=str(path),
            hint=f"convert {name!r} to float32 or integers before saving",
        )
    return header


def _read_header(stream: IO[bytes]) -> Header:
    version = _NPY.read_magic(stream)
    if version == (1, 0):
        return Header(*_NPY.read_array_header_1_0(stream))
    if version == (2, 0):
        return Header(*_NPY.read_array_header_2_0(stream))
    raise ValueError(f"no numeric array is stored in version {version}")


@contextlib.contextmanager
def _reading(name: str, path: Path) -> Iterator[None]:
    """Name the array and the file where reading fails."""
    try:
        yield
    except MemoryError:
        raise InputDataError(
            f"array {name!r} does not fit in memory", node=str(path), hint="use fewer samples"
        ) from None
    except (*_UNREADABLE, OSError):
        raise InputDataError(
            f"array {name!r} is truncated or damaged",
            node=str(path),
            hint="copy or save the file again",
        ) from None
