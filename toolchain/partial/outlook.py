"""What ``--partial`` would make of a model that something stops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.checking.verdicts import owner_of
from toolchain.errors import CompileError
from toolchain.limits import Deadline, Limits
from toolchain.partial.planning import plan_model

_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A model in segments, before it is compiled.

    Attributes:
        host: Names of the ONNX nodes that the host would run, between segments on the chip or
            at the ends.
        chip_segments: How many segments there would be on the chip.
        share_of_multiply_accumulates: Those on the chip, of all whose shapes are known.
    """

    host: tuple[str, ...]
    chip_segments: int
    share_of_multiply_accumulates: float

    def runs(self, node: str | None) -> bool:
        """Tell whether the host would run a node."""
        return node in self.host


def outlook_of(
    path: Path, *, target: str, levels: int, limits: Limits, nodes: tuple[str, ...]
) -> Outlook | str:
    """Return what would become of a model, or why it cannot be split or is not worth it.

    The reason may be that it takes longer to tell than `check` may.

    Args:
        path: Of the model.
        target: Name of a target.
        levels: Largest spike count of a neuron.
        limits: On the size of the model.
        nodes: Names of the ONNX nodes, as the file has them.
    """
    deadline = Deadline(_SECONDS)
    try:
        plan = plan_model(
            path,
            target=target,
            levels=levels,
            limits=limits,
            check_time=lambda: deadline.check("the plan"),
        )
    except CompileError as error:
        return error.problem
    names = (name for segment in plan.of("host") for name in segment.nodes)
    return Outlook(
        host=tuple(dict.fromkeys(owner_of(name, nodes) for name in names)),
        chip_segments=len(plan.of("chip")),
        share_of_multiply_accumulates=plan.share_of_multiply_accumulates,
    )
