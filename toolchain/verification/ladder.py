"""The ladder: the same samples through every stage of the compiler, each against the one above.

What a stage promises is checked here and nowhere else. *exact* means not one spike count (for
engines that give single spikes: not one spike in any time step) and not one output integer
differs. Where neurons spike in the source model already, `toolchain.verification.ties` has what
the imported network promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples
from toolchain.engine import ENGINES, Engine, Execution, Program
from toolchain.errors import CompileError
from toolchain.frontend import ImportedModel
from toolchain.ir.graph import Graph
from toolchain.ir.reference import counts_of, decode, encode, evaluate
from toolchain.ir.snn import LmHt, Spiking
from toolchain.report import Rung
from toolchain.verification.comparison import first_count, first_output, first_spike
from toolchain.verification.rung_tally import RungTally
from toolchain.verification.source import spike_source
from toolchain.verification.ties import TieTally, force

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Counts: TypeAlias = Mapping[str, npt.NDArray[Any]]
Progress: TypeAlias = Callable[[str, int, int], None]

IMPORT_TOLERANCE = 1e-4
"""Largest error of the imported network, relative to its largest output."""

_CHUNK_BYTES = 64 * 2**20
_BUDGET_S = 120.0


@dataclass(frozen=True, eq=False)
class Stages:
    """The network at each stage.

    Attributes:
        model: As imported.
        prepared: After `Phase.PREPARE`.
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


def climb(
    stages: Stages,
    samples: Samples,
    artifacts: tuple[str, ...],
    refused: Mapping[str, str],
    progress: Progress,
) -> Climb:
    """Run the samples through every stage.

    Args:
        stages: The network at each of them.
        samples: With or without labels.
        artifacts: Formats that were written, each a rung if an engine runs it.
        refused: Why formats that the target would have were not written, by name.
        progress: Told the rung, the samples done and the samples in all.
    """
    ladder = _Ladder(stages)
    progress("verify", 0, len(samples.x))
    for start, chunk in _chunks(stages, samples):
        ladder.add(start, chunk)
        progress("verify", start + len(chunk.x), len(samples.x))
    engines = [ENGINES[name] for name in ENGINES if ENGINES[name].artifact in artifacts]
    for done, engine in enumerate(engines):
        progress(engine.name, done, len(engines))
        ladder.add_artifact(engine, samples)
    for name, why in refused.items():
        ladder.tallies[name] = RungTally(name, "exact", why=f"not written: {why}")
    return ladder.climb()


class _Ladder:
    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        tail = stages.program.graph.output.tail
        within = f"within {IMPORT_TOLERANCE:g}"
        if stages.prepared.of_type(LmHt):
            within += ", ties apart"
        self.tallies = {
            name: RungTally(name, promise, tail, tolerance)
            for name, promise, tolerance in (
                ("onnxruntime", "reference", None),
                ("imported", within, IMPORT_TOLERANCE),
                ("converted", "lossy by design", None),
                ("lowered", "exact", None),
                ("quantized", "lossy by design", None),
                ("count", "exact", None),
                ("step", "exact", None),
            )
        }
        self.tail = tail
        self.run_source = spike_source(stages.model, stages.prepared)
        self.ties = TieTally()
        self.spikes, self.operations, self.graded, self.saturations = 0, 0, 0, 0
        self.step_s = 0.0

    def add(self, start: int, chunk: Samples) -> None:
        """Run one chunk through all stages that need no artifact."""
        stages, program = self.stages, self.stages.program
        source, imported = self._add_imported(start, chunk)
        converted, converted_counts = decode_of(stages.converted, chunk.x)
        lowered, lowered_counts = decode_of(stages.lowered, chunk.x)
        quantized, quantized_counts = decode_of(program.graph, chunk.x)
        self._add("converted", converted, imported, source, chunk)
        difference = first_count(lowered_counts, converted_counts, start)
        self._add("lowered", lowered, converted, source, chunk, difference)
        self._add("quantized", quantized, lowered, source, chunk)
        inputs = encode(program.graph.input, chunk.x).astype(np.int64)
        counted = ENGINES["count"].run(program, inputs, trace=False)
        y = decode(program.graph.output, counted.readout.astype(np.float64))
        difference = first_count(counted.counts, quantized_counts, start)
        self._add("count", y, quantized, source, chunk, difference)
        if self.step_s < _BUDGET_S:
            self._add_step(start, chunk, inputs, counted, source)

    def _add_imported(self, start: int, chunk: Samples) -> tuple[Floats, Floats]:
        """Run the source and the imported network; return the outputs of both.

        Spiking neurons are judged on what the source sends, and run on what they send.
        """
        source, sent = self.run_source(chunk.x)
        forced = force(self.stages.prepared, chunk.x, sent, IMPORT_TOLERANCE, start)
        imported = forced.y
        if forced.ties or forced.difference is not None:
            imported = decode_of(self.stages.prepared, chunk.x)[0]
        self._add("onnxruntime", source, source, source, chunk)
        self.tallies["imported"].add(
            imported, source, source, chunk.y, forced.difference, promised=forced.y
        )
        self.ties.add(forced, imported, source, IMPORT_TOLERANCE)
        self.tallies["imported"].why = self.ties.sentence
        return source, imported

    def _add_step(
        self, start: int, chunk: Samples, inputs: Ints, counted: Execution, source: Floats
    ) -> None:
        began, program = time.monotonic(), self.stages.program
        stepped = ENGINES["step"].run(program, inputs, trace=False)
        self.step_s += time.monotonic() - began
        above = decode(program.graph.output, counted.readout.astype(np.float64))
        y = decode(program.graph.output, stepped.readout.astype(np.float64))
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
        """Run a written artifact on a few samples against the step engine, spike by spike."""
        tally = RungTally(engine.name, "exact", self.tail)
        self.tallies[engine.name] = tally
        tally.why = engine.missing() or ""
        if tally.why:
            return
        program = self.stages.program
        few = Samples(
            samples.x[: engine.samples_max],
            None if samples.y is None else samples.y[: engine.samples_max],
        )
        inputs = encode(program.graph.input, few.x).astype(np.int64)
        ours = ENGINES["step"].run(program, inputs, trace=True)
        try:
            theirs = engine.run(program, inputs, trace=True)
        except CompileError as error:
            tally.failure = str(error)
            return
        source, _ = self.run_source(few.x)
        above = decode(program.graph.output, ours.readout.astype(np.float64))
        y = decode(program.graph.output, theirs.readout.astype(np.float64))
        difference = first_spike(program.circuit, theirs.spikes, ours.spikes) or first_output(
            theirs.readout, ours.readout
        )
        tally.add(y, above, source, few.y, difference)

    def climb(self) -> Climb:
        """Return what was found."""
        stepped = self.tallies["step"]
        everything = self.tallies["count"].samples
        if stepped.samples < everything:
            stepped.why = f"{stepped.samples} of {everything} samples in {self.step_s:.0f} s"
        ran = max(stepped.samples, 1)
        return Climb(
            rungs=tuple(tally.finish() for tally in self.tallies.values()),
            spikes_per_sample=self.spikes / ran,
            synaptic_operations_per_sample=self.operations / ran,
            graded_operations_per_sample=self.graded / ran,
            saturations=self.saturations,
        )

    def _add(
        self,
        rung: str,
        y: Floats,
        above: Floats,
        source: Floats,
        chunk: Samples,
        difference: str | None = None,
    ) -> None:
        self.tallies[rung].add(y, above, source, chunk.y, difference)


def decode_of(graph: Graph, x: npt.NDArray[Any]) -> tuple[Floats, Counts]:
    """Return the outputs of a graph and the spike counts of its populations."""
    values = evaluate(graph, x)
    counts = {node.name: counts_of(values[node.name]) for node in graph.of_type(Spiking)}
    return counts_of(values[graph.output.name]), counts


def _chunks(stages: Stages, samples: Samples) -> Iterator[tuple[int, Samples]]:
    """Yield the samples in chunks whose values fit into memory, with the first's number."""
    graph = stages.lowered
    levels = max((node.levels for node in graph.of_type(Spiking)), default=1)
    per_sample = sum(int(np.prod(shape)) for shape in graph.shapes.values()) * (levels + 16)
    size = int(np.clip(_CHUNK_BYTES // per_sample, 1, 256))
    for start in range(0, len(samples.x), size):
        part = slice(start, start + size)
        yield start, Samples(samples.x[part], None if samples.y is None else samples.y[part])
