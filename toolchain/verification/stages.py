"""The network at each stage of its compilation."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.engine import Program
from toolchain.frontend import ImportedModel
from toolchain.ir.graph import Graph
from toolchain.verification.rungs import APPROXIMATED, IMPORTED


@dataclass(frozen=True, eq=False)
class AnalogueStages:
    """The network before there are thresholds.

    Attributes:
        model: As imported.
        prepared: After `Phase.PREPARE`.
        exact: The same as far as it is exact, with the smooth activations that pieces stand in
            for; `None` if there are none.
    """

    model: ImportedModel
    prepared: Graph
    exact: Graph | None = None

    @property
    def graphs(self) -> dict[str, Graph]:
        """By the names of their rungs."""
        if self.exact is None:
            return {IMPORTED: self.prepared}
        return {IMPORTED: self.exact, APPROXIMATED: self.prepared}


@dataclass(frozen=True, eq=False)
class Stages:
    """The network from where its thresholds have been chosen.

    Attributes:
        converted: After `Phase.CONVERT`.
        lowered: After `Phase.LOWER`.
        program: Quantized and mapped, with its artifacts.
        lowering: Name of the lowering it was mapped with.
    """

    converted: Graph
    lowered: Graph
    program: Program
    lowering: str
