"""Graphs and circuits in one ``.npz`` file without pickles: arrays, and JSON for the rest.

The entry ``content`` is a JSON text. In it an object with the key ``array`` stands for the
entry of that name, one with ``sparse`` for a CSR matrix of three entries, one with ``items``
for a mapping, one with ``type`` for an instance of that class of this package.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.errors import InputDataError
from toolchain.ir import ann, graph, mapped, sigma_delta, snn, staircase
from toolchain.ir._fields import misfit
from toolchain.ir.narrow import narrowed

T = TypeVar("T")

LARGEST_BYTES = 4 * 2**30
"""Memory that the arrays of one archive may take together."""

_LEVEL = 4
"""Of compression: weights become no smaller above it, and indices take twice the time at 9."""

DAMAGED = (
    OSError,
    EOFError,
    LookupError,
    AttributeError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged archive ends with, one way or another."""

_CLASSES = {
    name: cls
    for module in (ann, graph, mapped, sigma_delta, snn, staircase)
    for name, cls in inspect.getmembers(module, inspect.isclass)
    if dataclasses.is_dataclass(cls)
}


def save_archive(thing: Any, path: Path) -> None:
    """Write a graph or circuit to ``path``; the same one gives the same bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    text = json.dumps(_encode(thing, arrays))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, array in {"content": np.array(text), **arrays}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)


def load_archive(path: Path, kind: type[T]) -> T:
    """Return what `save_archive` wrote to ``path``, an instance of ``kind``.

    Raises:
        InputDataError: The file is missing or is no such archive of this version.
    """
    try:
        _require_size(path)
        thing = read_archive(str(path), _instance)
    except FileNotFoundError:
        raise InputDataError("there is no such file", node=str(path)) from None
    except DAMAGED as error:
        raise _not_an_archive(path, kind) from error
    if not isinstance(thing, kind):
        raise _not_an_archive(path, kind)
    return thing


def _require_size(path: Path) -> None:
    """Refuse an archive that would take too much memory once it is unpacked."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_BYTES:
        raise InputDataError(
            f"holds {size} bytes; {LARGEST_BYTES} are read at most", node=str(path)
        )


def _instance(name: str, members: dict[str, Any]) -> Any:
    if "phase" in members:
        members = {**members, "phase": graph.Phase(members["phase"])}
    if isinstance(members.get("weight"), np.ndarray):
        members = {**members, "weight": narrowed(members["weight"])}
    instance = _CLASSES[name](**members)
    wrong = misfit(instance)
    if wrong is not None:
        raise TypeError(f"{name} has a strange {wrong}")
    return instance


def _not_an_archive(path: Path, kind: type) -> InputDataError:
    return InputDataError(
        f"the file does not hold a {kind.__name__.lower()} of this version",
        node=str(path),
        hint="compile the network again",
    )


def read_archive(path: str, build: Callable[[str, dict[str, Any]], Any] | None = None) -> Any:
    """Return the content of an archive; integer arrays come as 64 bit, sequences as tuples.

    The text of this function is copied into the scripts that the format ``lava`` writes.

    Args:
        path: Of the archive.
        build: Makes an instance from the name of its class and its fields, of which ``weight``
            comes as narrow as it was saved; without it instances come as dicts with the name
            under ``type``.
    """
    import json
    from pathlib import Path

    import numpy as np
    import scipy.sparse

    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
        unread = set(archive.files)

        def decode(value: Any, is_wide: bool = True) -> Any:
            if isinstance(value, list):
                return tuple(decode(item) for item in value)
            if not isinstance(value, dict):
                return value
            if "array" in value:
                unread.remove(value["array"])
                array = archive[value["array"]]
                return array.astype(np.int64) if is_wide and array.dtype.kind == "i" else array
            if "sparse" in value:
                return scipy.sparse.csr_matrix(
                    decode(value["sparse"]), shape=decode(value["shape"])
                )
            if "items" in value:
                return {key: decode(item) for key, item in value["items"]}
            members = {
                key: decode(item, build is None or key != "weight")
                for key, item in value.items()
                if key != "type"
            }
            if build is not None:
                return build(value["type"], members)
            return {"type": value["type"], **members}

        return decode(json.loads(str(archive["content"])))


def _encode(value: Any, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """Return what JSON says of ``value``; its arrays are added to ``arrays``."""
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: _encode(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, **fields}
    if isinstance(value, scipy.sparse.csr_matrix):
        parts = (value.data, value.indices, value.indptr)
        return {"sparse": [_encode(part, arrays) for part in parts], "shape": value.shape}
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = narrowed(value)
        return {"array": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_encode(item, arrays) for item in value]
    return int(value) if isinstance(value, np.integer) else value
