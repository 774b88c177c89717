"""Digests of files of any size, which are read piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_PIECE_BYTES = 2**20


def digest_of(*files: Path) -> str:
    """Return the SHA-256 of a file, or of several behind one another."""
    digest = hashlib.sha256()
    add_files(digest, files)
    return digest.hexdigest()


def add_files(digest: hashlib._Hash, files: Iterable[Path]) -> None:
    """Add what is in files to a digest, one file behind the other."""
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                digest.update(piece)
