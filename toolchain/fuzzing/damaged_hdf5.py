"""HDF5 files: fields that are missing, of other types and shapes, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from toolchain.fuzzing.damaged_attributes import REAL, TEXT, WHOLE

_TEXTS = ("CUBA", "SDNN", "dense", "conv", "flatten", "input", "dense_rec", "average", *TEXT)
_HUGE = (2**31, 2**40, 2**62)
_BOMB = 2**27
_ATTRIBUTES = (
    "input_message_bits", "reset_interval", "reset_offset", "period", "latency",
    "readout_population", "readout_step", "population", "window_start", "window_length",
    "window_copies", "relays", "name",
)  # fmt: skip


def damage_hdf5(random: Random, path: Path, count: int) -> None:
    """Change ``count`` places of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        for _ in range(count):
            names = _names(file)
            if names:
                random.choice(_DAMAGES)(random, file, random.choice(names))


def _names(file: h5py.File) -> list[str]:
    """Return the names of all groups and datasets that can be reached."""
    names: list[str] = []
    file.visit(names.append)
    return sorted(names)


def _drop(random: Random, file: h5py.File, name: str) -> None:
    del file[name]


def _rename(random: Random, file: h5py.File, name: str) -> None:
    new = random.choice(("layer/0", "layer/1", "layer/7", "layer/x", f"{name}x", "clock"))
    if new not in file and not new.startswith(f"{name}/"):
        file.move(name, new)


def _regroup(random: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def _text(random: Random, file: h5py.File, name: str) -> None:
    del file[name]
    text = random.choice(_TEXTS).replace("\0", "")
    kind = random.choice(("fixed", "variable", "array"))
    if kind == "fixed":
        file[name] = np.bytes_(text.encode() or b"x")
    elif kind == "variable":
        file[name] = text
    else:
        file.create_dataset(name, data=np.array([text.encode() or b"x"] * 2))


def _numbers(random: Random, file: h5py.File, name: str) -> None:
    """Change the numbers of a dataset, or how they are arranged."""
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf":
        return
    if found.is_virtual or found.external or found.size is None or found.size > _CHANGED_MAX:
        return
    array = np.array(found[()])
    kinds = ("number", "number", "all", "type", "turned", "flat", "less", "more", "scalar")
    array = _changed(random, random.choice(kinds), array)
    del file[name]
    file[name] = array


_CHANGED_MAX = 2**16


def _changed(random: Random, kind: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    number = random.choice((*REAL, *map(float, WHOLE)))
    with np.errstate(all="ignore"):
        if kind == "number" and array.size:
            array = array.astype(np.float64)
            array.flat[random.randrange(array.size)] = number
        elif kind == "all":
            array = np.full(array.shape, number)
        elif kind == "type":
            array = array.astype(random.choice(("f2", "f8", "i1", "u1", "i8", "u8", "?", "c8")))
        elif kind == "turned":
            array = array.T
        elif kind == "flat":
            array = array.ravel()
        elif kind == "less":
            array = array[:-1] if array.ndim else array
        elif kind == "more":
            array = np.concatenate([array, array]) if array.ndim else array[None]
        elif kind == "scalar":
            array = np.array(number)
    return array


def _huge(random: Random, file: h5py.File, name: str) -> None:
    """Claim a size that is not in the file."""
    del file[name]
    shape = tuple(random.choice((1, 2, *_HUGE)) for _ in range(random.choice((1, 2))))
    chunks = (1,) * len(shape)
    file.create_dataset(name, shape=shape, dtype=random.choice(("f4", "i8")), chunks=chunks)


def _bomb(random: Random, file: h5py.File, name: str) -> None:
    """Claim many zeros, which need no bytes in the file."""
    size = _BOMB if random.random() < _BOMB_SHARE else 2**16
    del file[name]
    shape = random.choice(((size,), (size // 2**8, 2**8)))
    file.create_dataset(name, shape=shape, dtype="i8", chunks=True)


_BOMB_SHARE = 0.15


def _empty(random: Random, file: h5py.File, name: str) -> None:
    del file[name]
    kind = random.choice(("null", "no elements", "compound", "reference", "enum", "vlen"))
    if kind == "null":
        file[name] = h5py.Empty("f4")
    elif kind == "no elements":
        file[name] = np.zeros((0, 3))
    elif kind == "compound":
        file[name] = np.zeros(2, [("a", "f4"), ("b", "i8")])
    elif kind == "reference":
        file.create_dataset(name, data=file.ref, dtype=h5py.ref_dtype)
    elif kind == "enum":
        file.create_dataset(name, data=1, dtype=h5py.enum_dtype({"A": 1}, basetype="i1"))
    else:
        file.create_dataset(name, shape=(2,), dtype=h5py.vlen_dtype(np.int32))


def _link(random: Random, file: h5py.File, name: str) -> None:
    """Put a field elsewhere: in itself, in another file, in a file beside."""
    del file[name]
    kind = random.choice(("soft", "loop", "external", "storage", "virtual", "hard"))
    secret = str(Path(file.filename).parent.parent / "secret")
    if kind == "soft":
        file[name] = h5py.SoftLink("/layer")
    elif kind == "loop":
        file[name] = h5py.SoftLink(f"/{name}")
    elif kind == "external":
        file[name] = h5py.ExternalLink(random.choice((secret, "other.net", "/dev/zero")), "/")
    elif kind == "storage":
        file.create_dataset(name, shape=(8,), dtype="u1", external=[(secret, 0, 8)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource(secret, "x", shape=(4,))
        file.create_virtual_dataset(name, layout)
    else:
        file[name] = file["/"]


def _attribute(random: Random, file: h5py.File, name: str) -> None:
    owner = file[name] if random.random() < 0.5 else file
    values = (random.choice(WHOLE), random.choice(TEXT), random.choice(REAL), h5py.Empty("f4"))
    value: Any = random.choice((*values, np.bytes_(b"layer1"), np.int64(random.randint(0, 40))))
    if isinstance(value, str):
        value = value.replace("\0", "")
    key = random.choice(sorted(owner.attrs) or _ATTRIBUTES)
    key = random.choice((key, random.choice(_ATTRIBUTES)))
    if random.random() < 0.2 and key in owner.attrs:
        del owner.attrs[key]
    else:
        owner.attrs[key] = value


_DAMAGES: tuple[Callable[[Random, h5py.File, str], None], ...] = (
    *(_drop, _rename, _regroup, _text, _huge, _bomb, _empty, _link),
    *(_numbers,) * 6,
    *(_attribute,) * 3,
)
