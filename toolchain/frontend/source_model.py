"""The model itself, which onnxruntime runs beside what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.digest import digest_of
from toolchain.errors import ImportModelError
from toolchain.frontend.model_file import ModelFile, read_file
from toolchain.limits import Limits


@dataclass(frozen=True)
class SourceModel:
    """Where a model is, and what it was when it was imported.

    Its weights are as large as all that is made of them, so none of it is kept: the file is
    read again where the model is run, and must still be the same.

    Attributes:
        path: Where it was read from.
        external: Files beside it that hold elements of tensors, in the order of their names.
        sha256: Of the file, or of the file and then its external files.
        limits: On its size.
        runs_as_it_is: Whether onnxruntime can run the file itself.
    """

    path: Path
    external: tuple[Path, ...]
    sha256: str
    limits: Limits
    runs_as_it_is: bool

    @classmethod
    def of(cls, file: ModelFile) -> SourceModel:
        """Return the source of a model that was read."""
        return cls(file.path, file.external, file.sha256, file.limits, file.runs_as_it_is)

    def runnable(self) -> Path | bytes:
        """Return what onnxruntime can run: the file, or else the serialized model.

        Raises:
            ImportModelError: It cannot be read any more, or has changed.
        """
        if not self.runs_as_it_is:
            return self.content()
        self.require_unchanged()
        return self.path

    def require_unchanged(self) -> None:
        """Refuse a file that is no longer what was imported.

        Raises:
            ImportModelError: It cannot be read any more, or has changed.
        """
        try:
            found = digest_of(self.path, *self.external)
        except OSError as error:
            raise self._changed((error.strerror or "unknown error").lower()) from None
        self._require_same(found)

    def content(self) -> bytes:
        """Return the serialized model, its external data inside and every node named.

        Quantizers that onnxruntime does not know are in plain operators.

        Raises:
            ImportModelError: It cannot be read any more, or has changed.
        """
        file = read_file(self.path, self.limits)
        self._require_same(file.sha256)
        return bytes(file.source.SerializeToString())

    def _require_same(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise self._changed("its digest is another")

    def _changed(self, why: str) -> ImportModelError:
        return ImportModelError(
            f"has changed since it was imported: {why}",
            node=str(self.path),
            hint="leave the model as it is until the command is done",
        )
