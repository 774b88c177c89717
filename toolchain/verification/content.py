"""Where two things first differ: graphs, circuits, archives of them, HDF5, ONNX, texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import scipy.sparse
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import external_data_helper, numpy_helper

from toolchain.errors import InputDataError
from toolchain.ir.archive import DAMAGED, read_archive

_ARCHIVE, _HDF5, _ONNX = b"PK\x03\x04", b"\x89HDF", ".onnx"
_SHOWN_MAX, _SHOWN_BEFORE = 60, 20
_ABSENT = object()


def first_unequal(found: Any, wanted: Any) -> str | None:
    """Return where two structures first differ, with what is there and what should be.

    Structures are instances of dataclasses, mappings and tuples of arrays, sparse matrices and
    plain values. Parts that have a name are called by it.
    """
    return next(_unequal(found, wanted, ""), None)


def first_file_difference(found: Path, wanted: Path) -> str | None:
    """Return where the content of two files first differs; `None` where it is the same.

    Archives, HDF5 files and ONNX models are compared by what they hold, other files line by
    line.

    Raises:
        InputDataError: ``found`` is damaged and cannot be read.
    """
    ours, theirs = found.read_bytes(), wanted.read_bytes()
    if ours == theirs:
        return None
    read = _read_onnx if wanted.suffix == _ONNX else _reader(theirs)
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


def _read_onnx(path: Path) -> dict[str, Any]:
    """Return constants, nodes and metadata of an ONNX model, by name, and the rest as text."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    graph = model.graph
    held: dict[str, Any] = {
        f"constant {tensor.name!r}": str(tensor)
        if external_data_helper.uses_external_data(tensor)
        else numpy_helper.to_array(tensor)
        for tensor in graph.initializer
    }
    held |= {f"node {node.output[0]!r}": _of_node(node) for node in graph.node if node.output}
    held |= {f"metadata {entry.key!r}": entry.value for entry in model.metadata_props}
    del graph.initializer[:], graph.node[:], model.metadata_props[:]
    return held | {"the rest of the model": str(model)}


def _of_node(node: onnx.NodeProto) -> dict[str, Any]:
    attributes = {attribute.name: str(attribute) for attribute in node.attribute}
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return {"operator": operator, "inputs": tuple(node.input), **attributes}


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
        yield f"{where} is {_shown(found, wanted)} and not {_shown(wanted, found)}"


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


def _shown(value: Any, other: Any = None) -> str:
    """Return a value as text; of a long text, what is around the first difference."""
    if not (isinstance(value, str) and isinstance(other, str)) or len(value) <= _SHOWN_MAX:
        text = str(value) if isinstance(value, np.generic) else repr(value)
        return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
    pairs = enumerate(zip_longest(value, other))
    place = next((at for at, (ours, theirs) in pairs if ours != theirs), 0)
    first = max(0, place - _SHOWN_BEFORE)
    last = first + _SHOWN_MAX
    before, after = "..." if first else "", "..." if last < len(value) else ""
    return f"{before}{value[first:last]!r}{after}"
