"""Weights in files beside the model, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
import onnx.numpy_helper
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from toolchain.errors import ImportModelError
from toolchain.limits import BYTES_MAX

_SHAPES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_LONGEST_SHAPE = 32


@dataclass(frozen=True)
class ExternalFiles:
    """The files beside a model that hold elements of its tensors.

    Attributes:
        paths: In the order of their names.
        are_plain: Whether any reader of ONNX finds the same in them: weights alone, all of them
            initializers, in files that no link leads to, at places written as usual.
    """

    paths: tuple[Path, ...]
    are_plain: bool


def load_external_data(
    model: onnx.ModelProto, path: Path, *, largest_bytes: int = BYTES_MAX
) -> ExternalFiles:
    """Move the elements of all tensors into the model.

    A model is a stranger's file: what it names must lie in its own folder, by a relative path
    without ``..`` and through no link that leads out of it.

    Args:
        model: Is changed.
        path: Where it was read from.
        largest_bytes: That the files may have together, and the model with all elements in it.

    Returns:
        The files read.

    Raises:
        ImportModelError: A file is outside, missing, too short or too large; it names the
            tensor.
    """
    folder = path.parent.resolve()
    files: set[Path] = set()
    size = path.stat().st_size
    are_plain = path.resolve().parent == folder
    for place, tensor in enumerate(_tensors(model)):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _inside(folder, entries.get("location", ""), tensor.name)
        is_weight = place < len(model.graph.initializer)
        are_plain &= is_weight and _is_plain(tensor) and file == folder / entries["location"]
        files.add(file)
        _require_few_bytes(files, largest_bytes, tensor.name)
        offset, length = _piece(file, entries, tensor.name)
        size += length
        _require_small(size, largest_bytes, tensor.name)
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        _check_size(tensor, file)
    return ExternalFiles(tuple(sorted(files)), are_plain)


def has_external_data(content: bytes) -> bool:
    """Tell whether a serialized model has elements in other files; not if it is no model."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return False
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in _tensors(model))


def _is_plain(tensor: onnx.TensorProto) -> bool:
    """Tell whether a tensor holds weights, and says where they are as every writer does.

    Shapes, and scales by which they change, are to be in the model where shapes are inferred.
    """
    entries = [(entry.key, entry.value) for entry in tensor.external_data]
    keys = [key for key, _ in entries]
    numbers = [value for key, value in entries if key in ("offset", "length")]
    return (
        tensor.data_type not in _SHAPES
        and math.prod(tensor.dims) > _LONGEST_SHAPE
        and len(set(keys)) == len(keys)
        and set(keys) <= {"location", "offset", "length"}
        and all(number.isascii() and number.isdecimal() for number in numbers)
    )


def _require_few_bytes(files: set[Path], largest_bytes: int, tensor: str) -> None:
    size = sum(file.stat().st_size for file in files)
    if size > largest_bytes:
        raise ImportModelError(
            f"has its data in files of {size} bytes; {largest_bytes} are read",
            node=tensor,
            hint="raise the limit with --max-bytes, if you trust the model",
        )


def _require_small(size: int, largest_bytes: int, tensor: str) -> None:
    """Refuse a model that is too large with the elements of all tensors up to one in it."""
    largest = min(largest_bytes, BYTES_MAX)
    if size > largest:
        raise ImportModelError(
            f"makes {size} bytes of the model; up to {largest} are supported", node=tensor
        )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _inside(folder: Path, location: str, tensor: str) -> Path:
    """Return the file that ``location`` names, which must be one in ``folder``."""
    parts = PurePosixPath(location.replace("\\", "/")).parts
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
    if not location or absolute or ".." in parts or "\0" in location:
        raise ImportModelError(
            f"has its data in {_shown(location)}; a file in the model's folder is supported",
            node=tensor,
            hint="save the model with its weights inside, or beside it",
        )
    try:
        file = (folder / location).resolve()
        is_there = file.is_file()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        why = getattr(error, "strerror", None) or "too many levels of symbolic links"
        raise ImportModelError(
            f"has its data in {_shown(location)}, which cannot be found: {why.lower()}",
            node=tensor,
        ) from None
    if not file.is_relative_to(folder):
        raise ImportModelError(
            f"has its data in {_shown(location)}, which leads out of the model's folder",
            node=tensor,
        )
    if not is_there:
        raise ImportModelError(
            f"has its data in {_shown(location)}, and there is no such file in the model's "
            "folder",
            node=tensor,
            hint="copy the file from where the model comes from",
        )
    return file


def _shown(location: str) -> str:
    return repr(location if len(location) <= _SHOWN_MAX else f"{location[:_SHOWN_MAX]}...")


_SHOWN_MAX = 200


def _piece(file: Path, entries: dict[str, str], tensor: str) -> tuple[int, int]:
    """Return where in a file the elements begin, and how many bytes they are."""
    size = file.stat().st_size
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size - offset)))
    except ValueError:
        offset = length = -1
    if offset < 0 or length < 0 or offset + length > size:
        raise ImportModelError(
            f"has its data in bytes {entries.get('offset', '0')} and on of {file.name!r}, "
            f"{entries.get('length', 'the rest')} of them; the file has {size}",
            node=tensor,
            hint="copy the file again from where the model comes from",
        )
    return offset, length


def _check_size(tensor: onnx.TensorProto, file: Path) -> None:
    try:
        onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
        raise ImportModelError(
            f"has shape {tuple(tensor.dims)}, which does not fit the {len(tensor.raw_data)} "
            f"bytes in {file.name!r}",
            node=tensor.name,
            hint="copy the file again from where the model comes from",
        ) from None
