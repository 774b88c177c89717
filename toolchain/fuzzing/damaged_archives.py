"""npz files: members that are missing, of other types and sizes, or no arrays at all."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, MutableMapping
from random import Random
from typing import Any, TypeAlias

import numpy as np

from toolchain.fuzzing.damaged_attributes import REAL, TEXT, WHOLE
from toolchain.fuzzing.damaged_bytes import damage_bytes

Members: TypeAlias = MutableMapping[str, bytes]
"""Content of each member by its name."""

_DTYPES = (
    "<f4",
    "<f8",
    "<f2",
    "<i8",
    "|i1",
    "|u1",
    "|b1",
    "<c8",
    "<U3",
    "|S3",
    "<M8[s]",
    "|V4",
)
_NPY: Any = np.lib.format  # numpy types none of its functions
_SIZES = (-1, 0, 1, 2, 3, 7, 1000, 2**31, 2**40, 2**62, 10**30)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BOMB_BYTES = 2**28
_DEPTH = 100_000


def damage_archive(random: Random, content: bytes) -> bytes:
    """Return an npz file with up to three members damaged, or the bytes of the file."""
    if random.random() < _BYTES_SHARE:
        return damage_bytes(random, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        random.choice(_DAMAGES)(random, members)
    method = random.choice((*_METHODS[:2] * 4, *_METHODS[2:]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return stream.getvalue()


_BYTES_SHARE = 0.25


def damage_json(random: Random, value: Any) -> Any:
    """Return a JSON value with one place in it changed, taken away or repeated."""
    if isinstance(value, dict) and value and random.random() < _DOWN:
        key = random.choice(sorted(value))
        if random.random() < _GONE:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: damage_json(random, value[key])}
    if isinstance(value, list) and value and random.random() < _DOWN:
        index = random.randrange(len(value))
        kind = random.random()
        if kind < _GONE:
            return value[:index] + value[index + 1 :]
        if kind < 2 * _GONE:
            return [*value, value[index]]
        return [*value[:index], damage_json(random, value[index]), *value[index + 1 :]]
    return random.choice(
        (None, True, [], {}, -1, 0, 1, 2.5, random.choice(WHOLE), random.choice(TEXT),
         [1, 2], [[]], {"array": "array_0"}, {"type": "Dense"}, {"items": []}, "input", 10**30)
    )  # fmt: skip


_DOWN, _GONE = 0.95, 0.08


def _drop(random: Random, members: Members) -> None:
    if members:
        del members[random.choice(sorted(members))]


def _rename(random: Random, members: Members) -> None:
    if members:
        name = random.choice(("../up.npy", "/up/x.npy", "x", "y.npy", "ä.npy", "x.npy"))
        members[name] = members.pop(random.choice(sorted(members)))


def _replace(random: Random, members: Members) -> None:
    name = _any(random, members)
    dtype = random.choice(("f4", "f8", "f2", "i8", "i1", "u1", "?", "c8", "U3", "S3"))
    shape = tuple(random.choice((0, 1, 2, 3, 5)) for _ in range(random.randrange(4)))
    members[name] = _saved(np.zeros(shape, dtype))


def _change(random: Random, members: Members) -> None:
    """Change numbers, the type or the shape of an array."""
    name = _any(random, members)
    array = _loaded(members.get(name, b""))
    if array is None or array.dtype.kind not in "biuf":
        return
    kind = random.choice(("number", "type", "transposed", "flat", "half", "doubled", "strided"))
    with np.errstate(all="ignore"):
        if kind == "number" and array.size:
            array.flat[random.randrange(array.size)] = _number(random, array.dtype)
        elif kind == "type":
            array = array.astype(random.choice(("f2", "f8", "i1", "i8", "u8", "?", "c8")))
        elif kind == "transposed":
            array = array.T
        elif kind == "flat":
            array = array.ravel()
        elif kind == "half":
            array = array[: len(array) // 2] if array.ndim else array
        elif kind == "doubled":
            array = np.concatenate([array, array]) if array.ndim else array[None]
    members[name] = _saved(array)


def _number(random: Random, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return random.choice(REAL)
    if dtype.kind == "b":
        return random.random() < 0.5
    limits = np.iinfo(dtype)
    return random.choice([number for number in WHOLE if limits.min <= number <= limits.max])


def _lie(random: Random, members: Members) -> None:
    """Claim another type or shape than the bytes of an array have."""
    shape = tuple(random.choice(_SIZES) for _ in range(random.choice((0, 1, 2, 3, 40))))
    header = random.choice(
        (
            repr({"descr": random.choice(_DTYPES), "fortran_order": False, "shape": shape}),
            repr({"descr": "|O", "fortran_order": False, "shape": (1,)}),
            repr({"descr": [("a", "<f4")], "fortran_order": False, "shape": (2,)}),
            "{'descr': '<f4'}", "[" * 300, "(" * 300 + ")" * 300, "{" + "1:" * 50, "",
            "{'descr': '<f4', 'fortran_order': 3, 'shape': 'x'}", "ä\0",
            repr({"descr": "<f4", "fortran_order": True, "shape": (True, 2)}),
        )
    ).encode("latin-1")  # fmt: skip
    version = random.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\x09\0"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    members[_any(random, members)] = b"\x93NUMPY" + version + length + header + b"\0" * 64


def _swell(random: Random, members: Members) -> None:
    """Put zeros into a member, which take many bytes only once they are unpacked."""
    size = random.choice((2**16, 2**22))
    if random.random() < _BOMB_SHARE:
        size = _BOMB_BYTES // 8
    members[_any(random, members)] = _saved(np.zeros(size, random.choice(("f8", "i8", "u1"))))


_BOMB_SHARE = 0.1


def _scramble(random: Random, members: Members) -> None:
    name = _any(random, members)
    members[name] = damage_bytes(random, members.get(name, b""))


def _retell(random: Random, members: Members) -> None:
    """Change the JSON text of a graph or circuit."""
    array = _loaded(members.get("content.npy", b""))
    if array is None or array.dtype.kind != "U" or not _is_json(str(array)):
        return
    if random.random() < _DEEP_SHARE:
        text = "[" * _DEPTH + "]" * _DEPTH
    elif random.random() < 0.1:
        text = damage_bytes(random, str(array).encode()).decode("latin-1").replace("\0", "")
    else:
        text = json.dumps(damage_json(random, json.loads(str(array))))
    members["content.npy"] = _saved(np.array(text))


_DEEP_SHARE = 0.01


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _any(random: Random, members: Members) -> str:
    return random.choice(sorted(members)) if members else "x.npy"


def _loaded(content: bytes) -> np.ndarray[Any, np.dtype[Any]] | None:
    try:
        return _NPY.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:
        return None  # it is damaged already


def _saved(array: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


_DAMAGES: tuple[Callable[[Random, Members], None], ...] = (
    *(_drop, _rename, _replace, _lie, _swell, _scramble),
    *(_change,) * 4,
    *(_retell,) * 6,
)
