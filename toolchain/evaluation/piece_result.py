"""What a piece of a data set gives, and exact sums of it over all pieces.

Everything that is added up is an integer, so neither the order of the pieces nor who ran them
can change a sum; and each sample is run by itself, so its outputs do not depend on either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples, file_named
from toolchain.engine import ENGINES, Execution, Program
from toolchain.errors import MissingDependencyError
from toolchain.ir.clipping import Clipping, count_clipped, summed
from toolchain.ir.ends import decode_sums, encode_samples
from toolchain.metrics import count_right, heads_of


@dataclass(frozen=True)
class PopulationTally:
    """Integers counted of one population over some samples.

    Attributes:
        name: Of the population.
        spikes: In each window.
        synaptic_operations: What they caused.
    """

    name: str
    spikes: tuple[int, ...]
    synaptic_operations: int

    def __add__(self, other: PopulationTally) -> PopulationTally:
        """Return the tally of both."""
        spikes = tuple(a + b for a, b in zip(self.spikes, other.spikes, strict=True))
        operations = self.synaptic_operations + other.synaptic_operations
        return PopulationTally(self.name, spikes, operations)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Integers counted over some samples.

    Attributes:
        samples: How many.
        answers: Answers that had a label; 0 without labels.
        right: Answers that were equal to it.
        spikes: Spikes and payloads sent; `None` if the engine does not count them.
        synaptic_operations: Spikes times the weights they met, likewise.
        graded_operations: Those of them that graded spikes caused, likewise.
        saturations: Times a register left its range.
        populations: Spikes and synaptic operations by population, as far as they are counted;
            inputs and constants are in the totals alone.
        clippings: Values that the encoding of an input clipped, for each input.
    """

    samples: int
    answers: int
    right: int
    spikes: int | None = None
    synaptic_operations: int | None = None
    graded_operations: int | None = None
    saturations: int = 0
    populations: tuple[PopulationTally, ...] = ()
    clippings: tuple[Clipping, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both."""
        return Tally(
            samples=self.samples + other.samples,
            answers=self.answers + other.answers,
            right=self.right + other.right,
            spikes=_sum(self.spikes, other.spikes),
            synaptic_operations=_sum(self.synaptic_operations, other.synaptic_operations),
            graded_operations=_sum(self.graded_operations, other.graded_operations),
            saturations=self.saturations + other.saturations,
            populations=_by_name((*self.populations, *other.populations)),
            clippings=summed((*self.clippings, *other.clippings)),
        )

    @property
    def metric(self) -> float | None:
        """Share of right answers; `None` without labels."""
        return self.right / self.answers if self.answers else None


@dataclass(frozen=True, eq=False)
class PieceResult:
    """What a piece gave.

    Attributes:
        y: Outputs in the units of the model's output, ``(samples, *shape)``.
        tally: Of its samples.
    """

    y: npt.NDArray[Any]
    tally: Tally


def run_piece(program: Program, engine: str, samples: Samples) -> PieceResult:
    """Run samples through an engine.

    Args:
        program: A compiled network.
        engine: Name of the engine.
        samples: In the units that the source model expects.

    Raises:
        CompileError: The engine cannot run them, or labels are no answers of the model.
    """
    graph = program.graph
    run = ENGINES[engine].measure or ENGINES[engine].run
    inputs = encode_samples(graph, samples.x)
    chunk = ENGINES[engine].samples_max or len(inputs)
    executions = [
        run(program, inputs[start : start + chunk], trace=False)
        for start in range(0, len(inputs), chunk)
    ]
    readout = np.concatenate([execution.readout for execution in executions])
    y = decode_sums(graph, readout)
    right, answers = 0, 0
    if samples.y is not None:
        with file_named(samples):
            right, answers = count_right(y, samples.y, heads_of(graph))
    tally = _tally(executions, len(samples), answers, right)
    return PieceResult(y, replace(tally, clippings=count_clipped(graph, samples.x)))


def require_engine(name: str) -> None:
    """Refuse an engine that cannot run here.

    Raises:
        MissingDependencyError: It needs a package that is absent.
        UnknownNameError: There is none of that name.
    """
    missing = ENGINES[name].missing()
    if missing is not None:
        raise MissingDependencyError(f"engine {name!r} cannot run here: {missing}")


def _tally(executions: list[Execution], samples: int, answers: int, right: int) -> Tally:
    def total(name: str) -> int | None:
        parts = [getattr(execution, name) for execution in executions]
        if any(part is None for part in parts):
            return None
        return sum(int(part.sum()) for part in parts)

    return Tally(
        samples=samples,
        answers=answers,
        right=right,
        spikes=total("spikes_total"),
        synaptic_operations=total("synaptic_operations"),
        graded_operations=total("graded_operations"),
        saturations=sum(execution.saturations for execution in executions),
        populations=_by_name(_populations(executions)),
    )


def _populations(executions: Iterable[Execution]) -> Iterator[PopulationTally]:
    for execution in executions:
        for name, sent in execution.activity.items():
            spikes = tuple(map(int, sent.spikes.sum(axis=0)))
            yield PopulationTally(name, spikes, int(sent.synaptic_operations.sum()))


def _by_name(tallies: Iterable[PopulationTally]) -> tuple[PopulationTally, ...]:
    """Return one tally for each population, in the order in which they come first."""
    found: dict[str, PopulationTally] = {}
    for tally in tallies:
        found[tally.name] = found[tally.name] + tally if tally.name in found else tally
    return tuple(found.values())


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
