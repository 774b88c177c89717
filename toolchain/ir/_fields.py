"""Whether a value is of the type that a field of a node or circuit declares."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, Literal, Union

import numpy as np
import scipy.sparse

_INTEGER_LIMIT = 1 << 63


def misfit(instance: Any) -> str | None:
    """Return the name of a field whose value is not of its declared type, `None` if all are.

    Args:
        instance: Of a dataclass.
    """
    hints = _hints(instance.__class__)
    fields = dataclasses.fields(instance)
    wrong = (f.name for f in fields if not _fits(getattr(instance, f.name), hints[f.name]))
    return next(wrong, None)


@functools.cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return _is_tuple(value, arguments)
    if origin is np.ndarray:
        kinds = "i" if arguments[1:] == (np.dtype[np.int64],) else "biuf"
        return isinstance(value, np.ndarray) and value.dtype.kind in kinds
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(item, arguments[1])
            for key, item in value.items()
        )
    return _is_one(value, hint)


def _is_tuple(value: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(_fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))


def _is_one(value: Any, kind: Any) -> bool:
    """Tell whether a value is an instance of a plain class."""
    if kind is Any:
        return True
    if kind is float and isinstance(value, float):
        return True
    if kind in (int, float):
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and abs(value) < _INTEGER_LIMIT
    if kind is types.NoneType:
        return value is None
    if kind is scipy.sparse.csr_matrix:
        return isinstance(value, kind) and _is_sound(value)
    return isinstance(value, kind)


def _is_sound(matrix: scipy.sparse.csr_matrix) -> bool:
    """Tell whether all indices of a sparse matrix of integers are inside of it."""
    try:
        matrix.check_format(full_check=True)
    except ValueError:
        return False
    return bool(matrix.data.dtype.kind == "i")
