"""Outputs of a data set, written as it was given: one file, or a file for each shard."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.data import save_arrays
from toolchain.errors import OutputFolderError
from toolchain.evaluation.piece_result import PieceResult
from toolchain.evaluation.shards import Piece
from toolchain.ir.node import Shape
from toolchain.ir.packing import unpack


class Outputs:
    """Puts the outputs of pieces together, which come in any order.

    A file is written as soon as it is complete, so that only the outputs of files that are
    being run are held.
    """

    def __init__(
        self, data: Path, target: Path, parts: Mapping[str, Shape] = MappingProxyType({})
    ) -> None:
        """Make the folder that is written to, where it is one.

        Args:
            data: The npz file or folder that is run.
            target: A file if ``data`` is one; else a folder, which gets a file of the same
                name for each.
            parts: Shapes of several outputs, by name; empty for a single one, called ``y``.

        Raises:
            OutputFolderError: ``data`` is a folder, and ``target`` is none that is empty or
                can be made; or it is a file, and ``target`` is no place for another.
        """
        self._folder = target if data.is_dir() else None
        self._file, self._outputs = target, parts
        self._parts: dict[Path, dict[int, npt.NDArray[Any]]] = defaultdict(dict)
        if self._folder is None:
            require_place(target, data)
        else:
            _make(self._folder)

    def keep(self, piece: Piece, result: PieceResult) -> None:
        """Take the outputs of one piece.

        Raises:
            OutputFolderError: A file cannot be written.
        """
        path = piece.file.path
        parts = self._parts[path]
        parts[piece.start] = result.y
        if sum(map(len, parts.values())) == len(piece.file):
            y = np.concatenate([parts[start] for start in sorted(parts)])
            shapes = list(self._outputs.values()) or [y.shape[1:]]
            named = dict(zip(self._outputs or ("y",), unpack(y, shapes), strict=True))
            save_arrays(self._folder / path.name if self._folder else self._file, named)
            del self._parts[path]


def require_place(file: Path, data: Path) -> None:
    """Refuse a file that cannot be written, or would replace samples, before anything is run.

    Raises:
        OutputFolderError: Its folder does not exist, or it is a folder or a device itself, or
            it is what is read or among it.
    """
    place, read = (Path(os.path.realpath(path)) for path in (file, data))
    if place == read or (read.is_dir() and place.parent == read):
        raise OutputFolderError(
            "would be among the samples that are read", node=str(file), hint="name another file"
        )
    try:
        mode = place.stat().st_mode if place.exists() else stat.S_IFREG
        has_folder = place.parent.is_dir()
    except OSError as error:
        raise _unwritable(file, error.strerror or str(error)) from None
    if not stat.S_ISREG(mode):
        raise _unwritable(file, "it is a folder" if stat.S_ISDIR(mode) else "it is no file")
    if not has_folder:
        raise _unwritable(file, "there is no such folder")


def _unwritable(file: Path, why: str) -> OutputFolderError:
    return OutputFolderError(f"cannot be written: {why}", node=str(file))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise OutputFolderError(
            f"cannot be made: {error.strerror or error}", node=str(folder)
        ) from None
    if not is_empty:
        raise OutputFolderError(
            "is not empty; the outputs of a folder of shards go to a new one",
            node=str(folder),
            hint="name a new folder with --output",
        )
