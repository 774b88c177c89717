"""Fields of a netx file, read so that whatever is wrong is said by file, layer and field."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from toolchain.errors import ImportModelError
from toolchain.ir.mapped import IntArray

MAX_ELEMENTS = 1 << 26
"""Elements of all arrays of a file together that are read, or as many as it has bytes if these
are more: a file that unpacks to more is a sign of damage."""

MAX_ATTRIBUTE = 1 << 20
"""Steps and widths are smaller; more is a sign of a damaged file."""

_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)


@contextmanager
def open_netx(path: Path) -> Iterator[Fields]:
    """Open a netx file for reading and close it at the end of the block.

    Raises:
        ImportModelError: There is no such file, or it is not an HDF5 file.
    """
    try:
        file = h5py.File(path, "r")
    except _HDF5_ERRORS as error:
        raise ImportModelError(
            f"not a readable HDF5 file ({error})",
            node=str(path),
            hint="give a file that lava-dl or snn-compile exported as netx HDF5",
        ) from error
    with file:
        yield Fields(file, path, budget=_Budget(max(MAX_ELEMENTS, path.stat().st_size)))


@dataclass
class _Budget:
    """Elements that may still be read."""

    elements: int


class Fields:
    """One group of a netx file.

    Attributes:
        path: Of the file.
        place: Where in the file, for messages: ``"layer 3"``; empty for the root.
    """

    def __init__(
        self, group: h5py.Group, path: Path, place: str = "", *, budget: _Budget
    ) -> None:
        self.path = path
        self.place = place
        self._group = group
        self._budget = budget

    def error(self, field: str, problem: str, hint: str | None = None) -> ImportModelError:
        """Return the error that ``field`` of this group has ``problem``."""
        place = f"{self.place}, " if self.place else ""
        return ImportModelError(
            f"{place}field {field!r}: {problem}", node=str(self.path), hint=hint
        )

    def __contains__(self, field: str) -> bool:
        """Tell whether there is a field or group of that name."""
        try:
            return field in self._group
        except _HDF5_ERRORS as error:
            raise self.error(field, f"cannot be read ({error})") from error

    def names(self) -> list[str]:
        """Return the names of all fields and groups in this one."""
        try:
            return list(self._group)
        except _HDF5_ERRORS as error:
            raise self.error("/", f"cannot be read ({error})") from error

    def text_attribute(self, name: str) -> str | None:
        """Return an attribute that snn-compile wrote, `None` where there is none."""
        value = self._attribute(name)
        try:
            return value.decode() if isinstance(value, bytes) else None
        except UnicodeDecodeError:
            return None

    def integer_attribute(self, name: str) -> int | None:
        """Return an attribute that snn-compile wrote, `None` where there is none."""
        value = self._attribute(name)
        is_usable = isinstance(value, np.integer) and 0 <= value < MAX_ATTRIBUTE
        return int(value) if is_usable else None

    def group(self, name: str, place: str) -> Fields:
        """Return the group ``name``, to be called ``place`` in messages."""
        found = self._get(name)
        if not isinstance(found, h5py.Group):
            raise self.error(name, "is not a group")
        return Fields(found, self.path, place, budget=self._budget)

    def text(self, field: str) -> str:
        """Return an ASCII string, or the first of an array of them."""
        value = self._value(field)
        if isinstance(value, np.ndarray) and value.size:
            value = value.flat[0]
        if not isinstance(value, bytes) or not value.isascii():
            raise self.error(field, "is not an ASCII string")
        return value.decode("ascii")

    def numbers(self, field: str) -> npt.NDArray[Any]:
        """Return an array of finite numbers of any type; a scalar has no dimensions."""
        value = np.asarray(self._value(field))
        if value.dtype.kind not in "biuf":
            raise self.error(field, f"holds {value.dtype}; numbers are needed")
        if not value.size:
            raise self.error(field, f"is empty (shape {value.shape})")
        low, high = float(value.min()), float(value.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise self.error(field, "holds numbers that are not finite")
        if low < -(2.0**31) or high >= 2.0**31:
            raise self.error(field, f"is {low:g} to {high:g}; 32 bits are allowed")
        return value

    def truncated(self, field: str) -> IntArray:
        """Return numbers cut off toward zero, as the stock reader takes weights and biases."""
        return self.numbers(field).astype(np.int64)

    def integers(self, field: str) -> IntArray:
        """Return numbers that must be whole."""
        value = self.numbers(field)
        if np.any(value.astype(np.int64) != value):
            raise self.error(field, "holds numbers that are not whole")
        return value.astype(np.int64)

    def pair(self, field: str) -> tuple[int, int]:
        """Return vertical and horizontal value; one number stands for both."""
        value = self.integers(field)
        if value.size == 1:
            return int(value.flat[0]), int(value.flat[0])
        if value.shape != (2,):
            raise self.error(field, f"has shape {value.shape}; 1 or 2 numbers are allowed")
        return int(value[0]), int(value[1])

    def shape(self) -> tuple[int, ...]:
        """Return the field ``shape``: 1 to 3 sizes, channel first."""
        value = self.integers("shape")
        if value.ndim != 1 or value.size > 3 or value.min() < 1:
            raise self.error("shape", f"is {value.tolist()}; 1 to 3 sizes >= 1 are allowed")
        return tuple(int(size) for size in value)

    def _attribute(self, name: str) -> Any:
        try:
            return self._group.attrs.get(name)
        except _HDF5_ERRORS:
            return None

    def _get(self, name: str) -> Any:
        if name not in self:
            raise self.error(name, "is missing")
        try:
            found = self._group[name]
            is_elsewhere = _is_elsewhere(self._group.get(name, getlink=True), found)
        except _HDF5_ERRORS as error:
            raise self.error(name, f"cannot be read ({error})") from error
        if is_elsewhere:
            raise self.error(
                name,
                "has its data in another file, and a file is read on its own",
                "copy the data into the file",
            )
        return found

    def _value(self, field: str) -> Any:
        found = self._get(field)
        if not isinstance(found, h5py.Dataset):
            raise self.error(field, "is not a dataset")
        try:
            if found.size is None or found.size > self._budget.elements:
                raise self.error(
                    field,
                    f"has shape {found.shape}; {self._budget.elements} more elements "
                    "of a file are read",
                )
            self._budget.elements -= found.size
            return found[()]
        except _HDF5_ERRORS as error:
            raise self.error(field, f"cannot be read ({error})") from error


def _is_elsewhere(link: Any, found: Any) -> bool:
    """Tell whether a field is kept in another file, in one of HDF5's three ways."""
    if isinstance(link, h5py.ExternalLink):
        return True
    return isinstance(found, h5py.Dataset) and bool(found.external or found.is_virtual)
