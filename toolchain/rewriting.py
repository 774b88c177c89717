"""Passes: pure functions on graphs, found in ``toolchain.passes`` and ordered by phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeAlias, TypeVar

from toolchain.calibration import Calibration
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.verify import verify, verify_phase
from toolchain.registry import Registry
from toolchain.straight_pieces import PIECES
from toolchain.target import Target

N = TypeVar("N", bound=Node)

_CHANGES_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Context:
    """What passes may depend on besides the graph.

    Attributes:
        target: The chip.
        levels: Largest spike count of a neuron in one window, >= 1.
        method: Name of the conversion method.
        lowering: ``temporal`` or ``spatial``.
        calibration: Statistics of the analogue network; `None` before it has been calibrated.
        pieces: Straight pieces of a smooth activation, >= 2.
    """

    target: Target
    levels: int
    method: str
    lowering: str
    calibration: Calibration | None = None
    pieces: int = PIECES


Rewrite: TypeAlias = Callable[[Graph, Context], Graph]


@dataclass(frozen=True)
class Pass:
    """A rewrite with its place in the order.

    Attributes:
        name: As on the command line; its function and file have the same name.
        phase: When it runs.
        after: Names of passes of the same phase that run before it.
        rewrite: Returns the same graph where nothing matches.
    """

    name: str
    phase: Phase
    after: tuple[str, ...]
    rewrite: Rewrite


PASSES: Registry[Pass] = Registry("pass", "toolchain.passes")


def compiler_pass(
    name: str, *, phase: Phase, after: tuple[str, ...] = ()
) -> Callable[[Rewrite], Rewrite]:
    """Return a decorator that registers a rewrite as a pass."""

    def register(rewrite: Rewrite) -> Rewrite:
        PASSES.register(name)(Pass(name, phase, after, rewrite))
        return rewrite

    return register


def rewrite_each(graph: Graph, kind: type[N], rewrite: Callable[[Graph, N], Graph]) -> Graph:
    """Rewrite the graph at every node of class ``kind`` that is still there in its turn."""
    for name in [node.name for node in graph.of_type(kind)]:
        if name in graph and isinstance(node := graph[name], kind):
            graph = rewrite(graph, node)
    return graph


def order_of(phase: Phase) -> tuple[Pass, ...]:
    """Return the passes of a phase in the order they run: by ``after``, then by name."""
    passes = {name: PASSES[name] for name in PASSES if PASSES[name].phase is phase}
    sorter = TopologicalSorter({name: passes[name].after for name in passes})
    sorter.prepare()
    ordered: list[Pass] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered.extend(passes[name] for name in ready)
        sorter.done(*ready)
    return tuple(ordered)


def run_phase(graph: Graph, phase: Phase, context: Context) -> Iterator[tuple[str, Graph]]:
    """Run the passes of a phase, verifying after each.

    The passes of `Phase.PREPARE` make room for one another: whenever one has changed something
    they begin again, so that each runs on what those before it have left over. Those of the
    other phases run once.

    Yields:
        The name of each pass that changed something, and the graph after it; last the name of
        the phase with the graph marked as having passed it.

    Raises:
        VerifyError: A pass, or the model, breaks an invariant.
    """
    steps = order_of(phase)
    place, changes = 0, 0
    while place < len(steps):
        step = steps[place]
        rewritten = step.rewrite(graph, context)
        place += 1
        if rewritten is not graph:
            graph = rewritten
            verify(graph)
            yield step.name, graph
            changes += 1
            if phase is Phase.PREPARE and changes < _CHANGES_MAX:
                place = 0
    graph = graph.at_phase(phase)
    verify_phase(graph)
    yield phase.name.lower(), graph
