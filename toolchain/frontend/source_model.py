"""The model itself, which onnxruntime runs beside what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from toolchain.digest import digest_of
from toolchain.errors import ImportModelError
from toolchain.frontend.model_file import read_file
from toolchain.limits import Limits


@dataclass(frozen=True)
class SourceModel:
    """Where a model is, and what it was when it was imported.

    Its weights are as large as all that is made of them, so none of it is kept: the file is
    read again where the model is run, and must still be the same.

    Attributes:
        path: Where it was read from.
        sha256: Of the file, or of the file and then its external files in the order of their
            names.
        limits: On its size.
        runs_as_it_is: Whether onnxruntime can run the file itself.
    """

    path: Path
    sha256: str
    limits: Limits
    runs_as_it_is: bool

    def runnable(self) -> Path | bytes:
        """Return what onnxruntime can run: the file, or else the serialized model.

        Raises:
            ImportModelError: The file cannot be read any more, or has changed.
        """
        if not self.runs_as_it_is:
            return bytes(self.read().SerializeToString())
        try:
            found = digest_of(self.path)
        except OSError as error:
            raise ImportModelError(
                f"cannot be read any more: {(error.strerror or 'unknown error').lower()}",
                node=str(self.path),
                hint=_KEEP,
            ) from None
        self._require_same(found)
        return self.path

    def read(self) -> onnx.ModelProto:
        """Return the model with its external data inside, every node named.

        Quantizers that onnxruntime does not know are in plain operators.

        Raises:
            ImportModelError: The file cannot be read any more, or has changed.
        """
        file = read_file(self.path, self.limits)
        self._require_same(file.sha256)
        return file.source

    def _require_same(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise ImportModelError(
                "has changed since it was imported", node=str(self.path), hint=_KEEP
            )


_KEEP = "leave the model as it is until the command is done"
