"""Circuits in `toolchain.ir.archive` files."""

from __future__ import annotations

from pathlib import Path

from toolchain.ir.archive import load_archive, save_archive
from toolchain.ir.mapped import Circuit


def save_circuit(circuit: Circuit, path: Path) -> None:
    """Write ``circuit`` to ``path``; the same circuit gives the same bytes."""
    save_archive(circuit, path)


def load_circuit(path: Path) -> Circuit:
    """Return the circuit that `save_circuit` wrote to ``path``.

    Raises:
        InputDataError: The file is missing or is no archive of a circuit of this version.
    """
    return load_archive(path, Circuit)
