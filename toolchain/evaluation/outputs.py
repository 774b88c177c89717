"""Outputs of a data set, written as it was given: one file, or a file for each shard."""

from __future__ import annotations

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
                can be made.
        """
        self._folder = target if data.is_dir() else None
        self._file, self._outputs = target, parts
        self._parts: dict[Path, dict[int, npt.NDArray[Any]]] = defaultdict(dict)
        if self._folder is not None:
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
