"""The network at each stage of its compilation."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.engine import Program
from toolchain.frontend import ImportedModel
from toolchain.ir.graph import Graph
from toolchain.verification.rungs import APPROXIMATED, IMPORTED


@dataclass(frozen=True, eq=False)
class Stages:
    """The network at each stage.

    Attributes:
        model: As imported.
        prepared: After `Phase.PREPARE`.
        exact: The same as far as it is exact, with the smooth activations that pieces stand in
            for; `None` if there are none.
        converted: After `Phase.CONVERT`.
        lowered: After `Phase.LOWER`.
        program: Quantized and mapped, with its artifacts.
        lowering: Name of the lowering it was mapped with.
    """

    model: ImportedModel
    prepared: Graph
    converted: Graph
    lowered: Graph
    program: Program
    lowering: str
    exact: Graph | None = None

    @property
    def analogue(self) -> dict[str, Graph]:
        """The graphs of the rungs above ``converted``, by name."""
        return analogue_stages(self.prepared, self.exact)


def analogue_stages(prepared: Graph, exact: Graph | None) -> dict[str, Graph]:
    """Return the graphs of the rungs above ``converted``, by name; see `Stages`."""
    if exact is None:
        return {IMPORTED: prepared}
    return {IMPORTED: exact, APPROXIMATED: prepared}
