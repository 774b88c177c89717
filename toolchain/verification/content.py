"""Where two things first differ: graphs, circuits, archives of them, HDF5 files, texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse

from toolchain.errors import InputDataError
from toolchain.ir.archive import DAMAGED, read_archive

_ARCHIVE, _HDF5 = b"PK\x03\x04", b"\x89HDF"
_SHOWN_MAX = 60
_ABSENT = object()


def first_unequal(found: Any, wanted: Any) -> str | None:
    """Return where two structures first differ, with what is there and what should be.

    Structures are instances of dataclasses, mappings and tuples of arrays, sparse matrices and
    plain values. Parts that have a name are called by it.
    """
    return next(_unequal(found, wanted, ""), None)


def first_file_difference(found: Path, wanted: Path) -> str | None:
    """Return where the content of two files first differs; `None` where it is the same.

    Archives and HDF5 files are compared by what they hold, other files line by line.

    Raises:
        InputDataError: ``found`` is damaged and cannot be read.
    """
    ours, theirs = found.read_bytes(), wanted.read_bytes()
    if ours == theirs:
        return None
    read = _reader(theirs)
    try:
        here, there = read(found), read(wanted)
    except DAMAGED as error:
        raise InputDataError(f"cannot be read: {error}", node=str(found)) from None
    return first_unequal(here, there)


def _reader(content: bytes) -> Callable[[Path], Any]:
    if content.startswith(_ARCHIVE):
        return lambda path: read_archive(str(path))
    if content.startswith(_HDF5):
        return _read_hdf5
    return lambda path: {
        f"line {number}": line
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
    }


def _read_hdf5(path: Path) -> dict[str, Any]:
    """Return all datasets and attributes of an HDF5 file, by their full names."""
    held: dict[str, Any] = {}

    def hold(name: str, thing: h5py.Group | h5py.Dataset) -> None:
        if isinstance(thing, h5py.Dataset):
            held[name] = thing[()]
        held.update({f"{name}@{key}": value for key, value in thing.attrs.items()})

    with h5py.File(path, "r") as file:
        hold("", file)
        file.visititems(hold)
    return held


def _unequal(found: Any, wanted: Any, where: str) -> Iterator[str]:
    if dataclasses.is_dataclass(found) and dataclasses.is_dataclass(wanted):
        found, wanted = _members(found), _members(wanted)
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys((*wanted, *found)):
            label = str(key) if not where else f"{where}.{key}"
            yield from _unequal(found.get(key, _ABSENT), wanted.get(key, _ABSENT), label)
    elif isinstance(found, tuple) and isinstance(wanted, tuple):
        pairs = zip_longest(found, wanted, fillvalue=_ABSENT)
        for index, (ours, theirs) in enumerate(pairs):
            yield from _unequal(ours, theirs, _label(ours, theirs, f"{where}[{index}]"))
    elif scipy.sparse.issparse(found) and scipy.sparse.issparse(wanted):
        yield from _unequal_sparse(found, wanted, where)
    elif found is _ABSENT or wanted is _ABSENT:
        yield f"{where} is {'missing' if found is _ABSENT else 'not to be there'}"
    elif isinstance(found, np.ndarray) or isinstance(wanted, np.ndarray):
        yield from _unequal_arrays(np.asarray(found), np.asarray(wanted), where)
    elif type(found) is not type(wanted) or found != wanted:
        yield f"{where} is {_shown(found)} and not {_shown(wanted)}"


def _members(thing: Any) -> dict[str, Any]:
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}


def _label(found: Any, wanted: Any, otherwise: str) -> str:
    """Return the name of a part where it has one."""
    thing = found if wanted is _ABSENT else wanted
    name = thing.get("name") if isinstance(thing, Mapping) else getattr(thing, "name", None)
    return f"{name!r}" if isinstance(name, str) else otherwise


def _unequal_sparse(found: Any, wanted: Any, where: str) -> Iterator[str]:
    if found.shape != wanted.shape:
        yield f"{where} has shape {found.shape} and not {wanted.shape}"
        return
    off = (found - wanted).tocoo()
    differing = np.flatnonzero(off.data)
    if differing.size:
        row, column = int(off.row[differing[0]]), int(off.col[differing[0]])
        ours, theirs = found[row, column], wanted[row, column]
        yield f"{where}[{row}, {column}] is {ours} and not {theirs}"


def _unequal_arrays(found: Any, wanted: Any, where: str) -> Iterator[str]:
    if found.shape != wanted.shape:
        yield f"{where} has shape {found.shape} and not {wanted.shape}"
        return
    differs = np.atleast_1d(found != wanted)
    if differs.any():
        index = tuple(int(i) for i in np.unravel_index(int(differs.argmax()), differs.shape))
        place = f"[{', '.join(map(str, index))}]" if found.ndim else ""
        ours, theirs = np.atleast_1d(found)[index], np.atleast_1d(wanted)[index]
        yield f"{where}{place} is {_shown(ours)} and not {_shown(theirs)}"


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
