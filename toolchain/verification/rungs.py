"""Names and order of the rungs that every network has, and which of them are climbed."""

from __future__ import annotations

from collections.abc import Collection

SOURCE, IMPORTED = "onnxruntime", "imported"

APPROXIMATED = "approximated"
"""Behind `IMPORTED` in networks with smooth activations, which straight pieces stand in for."""

RUNGS = (SOURCE, IMPORTED, "converted", "lowered", "quantized", "count", "step")
"""From the source down; engines that run artifacts come after them."""


def rungs_with(stages: Collection[str]) -> tuple[str, ...]:
    """Return the rungs of a network of which these stages are at hand."""
    if APPROXIMATED not in stages:
        return RUNGS
    place = RUNGS.index(IMPORTED) + 1
    return (*RUNGS[:place], APPROXIMATED, *RUNGS[place:])


def is_climbed(rung: str, rungs: tuple[str, ...], wanted: Collection[str] | None) -> bool:
    """Tell whether a rung, or the one below it, which is compared with it, is wanted.

    Args:
        rung: Its name.
        rungs: All of the network; what is not among them has no rung below it.
        wanted: `None` for all.
    """
    if wanted is None or rung in wanted:
        return True
    below = rungs[rungs.index(rung) + 1 :][:1] if rung in rungs else ()
    return any(name in wanted for name in below)
