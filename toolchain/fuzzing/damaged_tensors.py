"""Weights that are missing, of another shape or type, not numbers, or in files elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from toolchain.fuzzing.damaged_attributes import REAL, WHOLE
from toolchain.ir.node import Array

_SIZES = (-(2**63), -1, 0, 1, 2, 7, 2**20, 2**31, 2**40, 2**63 - 1)
_NUMPY_TYPES = ("float16", "float64", "int8", "uint8", "int32", "int64", "bool")
_CONTENT_BYTES = 64


def drop_tensor(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Remove one."""
    if model.graph.initializer:
        del model.graph.initializer[random.randrange(len(model.graph.initializer))]


def double_tensor(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Give two the same name."""
    tensor = _tensor(random, model)
    if tensor is not None:
        model.graph.initializer.append(tensor)


def rename_tensor(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Call one as another value."""
    tensor = _tensor(random, model)
    if tensor is not None:
        node = random.choice(model.graph.node)
        tensor.name = random.choice(("", "x", *node.input, *node.output))


def redimension(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Say that one has another shape than its elements."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    if tensor.dims and random.random() < 0.7:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(_SIZES)
    else:
        tensor.dims.extend([random.choice(_SIZES)] * random.choice((1, 2, 40)))


def reshape(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Give one another shape with the same elements, or transpose it."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    array = _array(tensor)
    shapes = [array.T, array.ravel(), array[None], array[..., None], array.reshape(-1, 1)]
    _replace(tensor, random.choice(shapes))


def resize(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Make one longer, shorter or empty along an axis."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    array = _array(tensor)
    if array.ndim == 0:
        _replace(tensor, array[None][:0])
        return
    axis = random.randrange(array.ndim)
    size = random.choice((0, array.shape[axis] - 1, array.shape[axis] + 1))
    _replace(tensor, np.resize(array.swapaxes(0, axis), (max(size, 0), *_rest(array, axis))))


def _rest(array: Array, axis: int) -> tuple[int, ...]:
    return array.swapaxes(0, axis).shape[1:]


def retype(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Store one in another type, with the right or the wrong number of bytes."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    if random.random() < 0.5:
        tensor.data_type = random.choice(WHOLE[2:12])
        return
    with np.errstate(all="ignore"):
        _replace(tensor, _array(tensor).astype(random.choice(_NUMPY_TYPES)))


def overwrite(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Put numbers into one that weights seldom are."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    array = _array(tensor).copy()
    if array.size == 0 or array.dtype.kind not in "fiu":
        return
    with np.errstate(all="ignore"):
        numbers = REAL if array.dtype.kind == "f" else _within(array.dtype)
        if random.random() < 0.5:
            array.flat[random.randrange(array.size)] = random.choice(numbers)
        elif random.random() < 0.5:
            array[...] = random.choice(numbers)
        else:
            array = array * array.dtype.type(random.choice((0, 2, 100)))
    _replace(tensor, array)


def _within(dtype: np.dtype[Any]) -> list[int]:
    limits = np.iinfo(dtype)
    return [number for number in WHOLE if limits.min <= number <= limits.max]


def cut_data(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Take bytes of one away, or add some, or put them where another type has its own."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    if random.random() < 0.4:
        tensor.float_data.extend([1.0] * random.choice((1, 5)))
    else:
        tensor.raw_data = tensor.raw_data[: -random.choice((1, 3, 4))] + b"\1" * random.choice(
            (0, 2, 9)
        )


def move_outside(random: Random, model: onnx.ModelProto, folder: Path) -> None:
    """Keep the elements of one in a file: a proper one, or one that must not be read."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    content = tensor.raw_data
    (folder / "weights.bin").write_bytes(b"\0" * _CONTENT_BYTES + content)
    location = _location(random, folder)
    entries = {"location": location, "offset": str(_CONTENT_BYTES), "length": str(len(content))}
    if random.random() < 0.4:
        key = random.choice(("offset", "length", "checksum"))
        entries[key] = random.choice((*map(str, WHOLE), "x", "", "1e3", "9" * 5000))
    if random.random() < 0.1:
        del entries[random.choice(("location", "offset", "length"))]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def _location(random: Random, folder: Path) -> str:
    """Return where the elements are said to be; ``secret`` beside the folder is a canary."""
    kind = random.choice(
        ("file",) * 4 + ("link", "loop", "folder link", "pipe", "folder", "name")
    )
    if kind == "file":
        return "weights.bin"
    if kind == "link":
        _link(folder / "link.bin", Path("..") / "secret")
        return "link.bin"
    if kind == "loop":
        _link(folder / "loop.bin", Path("loop.bin"))
        return "loop.bin"
    if kind == "folder link":
        _link(folder / "up", Path(".."))
        return "up/secret"
    if kind == "pipe":
        if not (folder / "pipe").exists():
            os.mkfifo(folder / "pipe")
        return "pipe"
    if kind == "folder":
        return "."
    return random.choice(
        (
            "../secret", str(folder.parent / "secret"), "/etc/hostname", "x" * 300,
            "x/" * 3000 + "y", "weights.bin/", "./weights.bin", "a/../weights.bin", "C:\\x",
            "..\\secret", "\\\\host\\share", "/dev/zero", "file:///etc/hostname", "~/x",
            "none.bin", "a\0b", "\n", "model.onnx", "/proc/self/environ", "%2e%2e/secret",
        )
    )  # fmt: skip


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)


def make_sparse(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Store one as a sparse tensor."""
    tensor = _tensor(random, model)
    if tensor is not None:
        sparse = model.graph.sparse_initializer.add(dims=[2**40] * random.choice((1, 3)))
        sparse.values.CopyFrom(tensor)
        sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(3)))
        if random.random() < 0.5:
            model.graph.initializer.remove(tensor)


def expand_constant(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Compute one from a few bytes, in a size that fits or in a huge one."""
    tensor = _tensor(random, model)
    if tensor is None:
        return
    shape = [*tensor.dims]
    if random.random() < 0.5:
        shape = [random.choice((*_SIZES, 10_000))] * random.choice((1, 2, 3))
    name = f"{tensor.name}_shape"
    model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    node = onnx.helper.make_node("ConstantOfShape", [name], [tensor.name])
    if random.random() < 0.5:
        model.graph.initializer.append(
            numpy_helper.from_array(np.ones(1, np.float32), f"{name}_one")
        )
        node = onnx.helper.make_node("Expand", [f"{name}_one", name], [tensor.name])
    model.graph.initializer.remove(tensor)
    model.graph.node.insert(0, node)


def _tensor(random: Random, model: onnx.ModelProto) -> TensorProto | None:
    """Return an initializer whose elements are in the model."""
    tensors = [t for t in model.graph.initializer if t.data_location != TensorProto.EXTERNAL]
    return random.choice(tensors) if tensors else None


def _array(tensor: TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
        return np.ones(3, np.float32)  # it is damaged already


def _replace(tensor: TensorProto, array: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


DAMAGES: tuple[Callable[[Random, onnx.ModelProto, Path], None], ...] = (
    drop_tensor,
    double_tensor,
    rename_tensor,
    redimension,
    reshape,
    resize,
    retype,
    overwrite,
    cut_data,
    move_outside,
    make_sparse,
    expand_constant,
)
