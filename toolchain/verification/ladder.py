"""The ladder: the same samples through every stage of the compiler, each against the one above.

What a stage promises is checked here and nowhere else. *exact* means not one spike count (for
engines that give single spikes: not one spike in any time step) and not one output integer
differs. The stages before there are any spikes have been climbed by then, by
`toolchain.verification.analogue`. Where neurons spike in the source model already,
`toolchain.verification.ties` has what the imported network promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples, file_named
from toolchain.engine import ENGINES, Engine, Execution, Program
from toolchain.errors import CompileError
from toolchain.ir.ends import decode_sums, encode_samples
from toolchain.ir.graph import Graph
from toolchain.metrics import heads_of
from toolchain.report import Rung
from toolchain.verification.analogue import IMPORT_TOLERANCE, Analogue
from toolchain.verification.artifact import run_artifact
from toolchain.verification.chunks import chunks
from toolchain.verification.comparison import first_count, first_output
from toolchain.verification.kept_counts import TOLERANCE as EXACT_TOLERANCE
from toolchain.verification.kept_counts import (
    LevelTally,
    force_counts,
    is_one_level,
    is_tie,
    level_error,
)
from toolchain.verification.rung_tally import RungTally
from toolchain.verification.rungs import IMPORTED, SOURCE, is_climbed, rungs_with
from toolchain.verification.stage_run import run_stage
from toolchain.verification.stages import Stages
from toolchain.verification.ties import TieTally

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Counts: TypeAlias = Mapping[str, npt.NDArray[Any]]
Progress: TypeAlias = Callable[[str, int, int], None]

_KEPT_TOLERANCE = 1e-6
"""Largest error where integers are found again, relative to the largest output: the model has
their products with a step in float32."""

_PROMISES = {
    SOURCE: "reference",
    IMPORTED: f"within {IMPORT_TOLERANCE:g}",
    "converted": "lossy by design",
    "quantized": "lossy by design",
}
_TIES_APART, _WITHIN_A_LEVEL = "exact, ties apart", "within a level"
"""Promises of networks that count the steps of a quantized model."""

_BUDGET_S = 4.0
"""Time for step mode, which takes longest: as many samples as that allows."""

_STEPPED_FIRST = 4
"""Samples that tell how long it takes."""

_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """What there is to climb.

    Attributes:
        program: Quantized and mapped, with its artifacts.
        analogue: What has been climbed of it; `None` if the source model is not at hand.
        graphs: Of the rungs ``converted`` and ``lowered``, if they are at hand, by name.
        artifacts: Formats that were written, each a rung if an engine runs it.
        absent: Why rungs cannot be run, by name.
        wanted: Names of the rungs to run; `None` for all.
    """

    program: Program
    analogue: Analogue = field(default_factory=Analogue)
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    wanted: frozenset[str] | None = None

    @property
    def rungs(self) -> tuple[str, ...]:
        """Rungs of the network, from the source down; engines come after them."""
        return rungs_with(self.analogue.tallies)

    def has(self, rung: str) -> bool:
        """Tell whether a rung is climbed, for itself or for the one below."""
        return is_climbed(rung, self.rungs, self.wanted)


@dataclass(frozen=True, eq=False)
class Climb:
    """What the ladder found.

    Attributes:
        rungs: From the source network down.
        spikes_per_sample: Mean over the samples that were stepped.
        synaptic_operations_per_sample: Likewise.
        graded_operations_per_sample: Those of them that graded spikes caused.
        saturations: Times a register left its range there.
    """

    rungs: tuple[Rung, ...]
    spikes_per_sample: float
    synaptic_operations_per_sample: float
    graded_operations_per_sample: float
    saturations: int


def route_of(
    stages: Stages,
    analogue: Analogue,
    artifacts: tuple[str, ...] = (),
    refused: Mapping[str, str] = _NONE,
) -> Route:
    """Return the route through all stages.

    Args:
        stages: The network at each of them.
        analogue: What has been climbed before them.
        artifacts: Formats that were written.
        refused: Why formats that the target would have were not written, by name.
    """
    return Route(
        program=stages.program,
        analogue=analogue,
        graphs={"converted": stages.converted, "lowered": stages.lowered},
        artifacts=artifacts,
        absent={name: f"not written: {why}" for name, why in refused.items()},
    )


def climb(route: Route, samples: Samples, progress: Progress) -> Climb:
    """Run the samples through every stage.

    Args:
        route: The network at each of them.
        samples: With or without labels.
        progress: Told the rung, the samples done and the samples in all.
    """
    ladder = _Ladder(route)
    progress("verify", 0, len(samples.x))
    engines = [ENGINES[name] for name in ENGINES if ENGINES[name].artifact in route.artifacts]
    with file_named(samples):
        if any(route.has(rung) for rung in route.rungs):
            for start, chunk in chunks(route.program.graph, samples):
                ladder.add(start, chunk)
                progress("verify", start + len(chunk.x), len(samples.x))
            ENGINES["count"].forget()
        for done, engine in enumerate(engines):
            if route.has(engine.name):
                progress(engine.name, done, len(engines))
                ladder.add_artifact(engine, samples)
    return ladder.climb()


class _Ladder:
    def __init__(self, route: Route) -> None:
        self.route, self.program = route, route.program
        self.heads = heads_of(route.program.graph)
        climbed = route.analogue.tallies
        self.tallies = {name: climbed.get(name) or self._tally(name) for name in route.rungs}
        self.halves = TieTally("halfway between two steps, which neurons round up")
        self.levels = LevelTally()
        self.spikes, self.operations, self.graded, self.saturations = 0, 0, 0, 0
        self.step_s = 0.0

    def _tally(self, rung: str) -> RungTally:
        promise, tolerance = _PROMISES.get(rung, "exact"), None
        lowered = self.route.graphs.get("lowered")
        if rung == "converted" and self.route.analogue.steps is not None:
            promise, tolerance = _TIES_APART, EXACT_TOLERANCE
        if rung == "quantized" and lowered is not None:
            error = level_error(lowered, self.program.graph)
            if error == 0:
                promise, tolerance = "exact", _KEPT_TOLERANCE
            elif np.isfinite(error):
                promise = _WITHIN_A_LEVEL
        why = self.route.absent.get(rung, "")
        return RungTally(rung, promise, self.heads, tolerance, why=why)

    def add(self, start: int, chunk: Samples) -> None:
        """Run one chunk through all stages that need no artifact."""
        source, above = (
            None if y is None else y[start : start + len(chunk)]
            for y in (self.route.analogue.source, self.route.analogue.y)
        )
        above_counts: Counts = {}
        if self.route.analogue.steps is not None:
            imported = run_stage(self.route.analogue.steps, chunk.x)
            above, above_counts = imported.y, imported.counts
        graphs, stage = {**self.route.graphs, "quantized": self.program.graph}, None
        for rung in ("converted", "lowered", "quantized"):
            if rung not in graphs or not self.route.has(rung):
                above, above_counts, stage = None, {}, None
                continue
            below = graphs.get("lowered") if rung == "converted" else None
            stage = run_stage(graphs[rung], chunk.x, above=stage, below=below)
            found = (stage.y, stage.counts)
            self._add_counts(rung, start, chunk, found, (above, above_counts), source)
            above, above_counts = found
        if not (self.route.has("count") or self.route.has("step")):
            return
        inputs = encode_samples(self.program.graph, chunk.x)
        counted = ENGINES["count"].run(self.program, inputs, trace=True)
        y = decode_sums(self.program.graph, counted.readout)
        difference = first_count(counted.counts, above_counts, start)
        self._add("count", y, above, source, chunk, difference)
        if self.route.has("step"):
            self._step(start, chunk, inputs, counted, source)

    def _add_counts(
        self,
        rung: str,
        start: int,
        chunk: Samples,
        found: tuple[Floats, Counts],
        above: tuple[Floats | None, Counts],
        source: Floats | None,
    ) -> None:
        """Compare outputs and counts of a rung with those above, as it promises."""
        (y, counts), (above_y, above_counts) = found, above
        tally, difference, promised = self.tallies[rung], None, None
        if tally.promise == "exact":
            difference = first_count(counts, above_counts, start)
        elif tally.promise == _TIES_APART and above_y is not None:
            graph = self.route.graphs[rung]
            forced = force_counts(graph, chunk.x, above_counts, is_tie, start)
            difference, promised = forced.difference, forced.y
            self.halves.add(forced, y, above_y, EXACT_TOLERANCE)
            tally.why = self.halves.sentence
        elif tally.promise == _WITHIN_A_LEVEL and above_y is not None:
            forced = force_counts(
                self.program.graph, chunk.x, above_counts, is_one_level, start
            )
            difference = forced.difference
            self.levels.add(forced, counts, above_counts)
            tally.why = self.levels.sentence
        tally.add(y, above_y, source, chunk.y, difference, promised=promised)

    def _step(
        self,
        start: int,
        chunk: Samples,
        inputs: Ints,
        counted: Execution,
        source: Floats | None,
    ) -> None:
        """Run as many samples of a chunk step by step as there is time for."""
        place = 0
        while place < len(inputs) and self.step_s < _BUDGET_S:
            part = slice(place, place + self._affordable())
            few = Samples(chunk.x[part], None if chunk.y is None else chunk.y[part])
            counts = {name: each[part] for name, each in counted.counts.items()}
            self._add_step(
                start + place,
                few,
                inputs[part],
                replace(counted, readout=counted.readout[part], counts=counts),
                None if source is None else source[part],
            )
            place = part.stop

    def _affordable(self) -> int:
        """Return for how many samples of step mode there is time, at least 1."""
        if not self.step_s:
            return _STEPPED_FIRST
        pace = self.tallies["step"].samples / self.step_s
        return max(1, int(pace * (_BUDGET_S - self.step_s)))

    def _add_step(
        self,
        start: int,
        chunk: Samples,
        inputs: Ints,
        counted: Execution,
        source: Floats | None,
    ) -> None:
        began, program = time.monotonic(), self.program
        stepped = ENGINES["step"].run(program, inputs, trace=False)
        self.step_s += time.monotonic() - began
        above = decode_sums(program.graph, counted.readout)
        y = decode_sums(program.graph, stepped.readout)
        difference = first_count(stepped.counts, counted.counts, start) or first_output(
            stepped.readout, counted.readout
        )
        self._add("step", y, above, source, chunk, difference)
        self.saturations += stepped.saturations
        if stepped.spikes_total is not None and stepped.synaptic_operations is not None:
            self.spikes += int(stepped.spikes_total.sum())
            self.operations += int(stepped.synaptic_operations.sum())
        if stepped.graded_operations is not None:
            self.graded += int(stepped.graded_operations.sum())

    def add_artifact(self, engine: Engine, samples: Samples) -> None:
        """Run a written artifact on as many samples as its engine takes."""
        tally = self.tallies[engine.name] = self._tally(engine.name)
        tally.why = engine.missing() or ""
        if tally.why:
            return
        few = Samples(
            samples.x[: engine.samples_max],
            None if samples.y is None else samples.y[: engine.samples_max],
        )
        try:
            found = run_artifact(engine, self.program, few.x)
        except CompileError as error:
            tally.failure = str(error)
            return
        source = self.route.analogue.source
        given = None if source is None else source[: len(few)]
        tally.add(found.y, found.above, given, few.y, found.difference)

    def climb(self) -> Climb:
        """Return what was found."""
        for rung in self.route.absent:
            self.tallies.setdefault(rung, self._tally(rung))
        stepped = self.tallies["step"]
        everything = self.tallies["count"].samples
        if stepped.samples < everything:
            stepped.why = f"{stepped.samples} of {everything} samples in {self.step_s:.0f} s"
        ran = max(stepped.samples, 1)
        return Climb(
            rungs=tuple(
                tally.finish()
                for name, tally in self.tallies.items()
                if self.route.wanted is None or name in self.route.wanted
            ),
            spikes_per_sample=self.spikes / ran,
            synaptic_operations_per_sample=self.operations / ran,
            graded_operations_per_sample=self.graded / ran,
            saturations=self.saturations,
        )

    def _add(
        self,
        rung: str,
        y: Floats,
        above: Floats | None,
        source: Floats | None,
        chunk: Samples,
        difference: str | None = None,
    ) -> None:
        self.tallies[rung].add(y, above, source, chunk.y, difference)
