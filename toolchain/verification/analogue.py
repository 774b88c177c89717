"""The first rungs of the ladder, on which nothing spikes by our doing.

The source model in onnxruntime, the network imported from it, and the same with straight pieces
for its smooth activations need no thresholds. So they are climbed before there are any: the
source takes as much memory as the network, and is gone before another is made of that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples, file_named
from toolchain.frontend import ImportedModel
from toolchain.heap import trim_heap
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import counts_steps
from toolchain.metrics import heads_of
from toolchain.verification.chunks import chunks
from toolchain.verification.quantizers import quantizers
from toolchain.verification.rung_tally import RungTally
from toolchain.verification.rungs import APPROXIMATED, IMPORTED, SOURCE, is_climbed, rungs_with
from toolchain.verification.source import spike_source
from toolchain.verification.stage_run import run_stage
from toolchain.verification.stages import AnalogueStages
from toolchain.verification.ties import TieTally, force

Floats: TypeAlias = npt.NDArray[np.float64]
Progress: TypeAlias = Callable[[str, int, int], None]

IMPORT_TOLERANCE = 1e-4
"""Largest error of the imported network, relative to its largest output."""

HALF_TOLERANCE = 1e-2
"""Likewise if the model computes in float16, where every value is rounded by up to 5e-4."""


@dataclass(frozen=True, eq=False)
class Analogue:
    """What the analogue network gives for the samples.

    Attributes:
        tallies: Of its rungs, from the source down, by name.
        source: Outputs of the source model, ``(samples, *shape)``; `None` if it was not run.
        y: Outputs of the last of its stages, likewise.
        steps: The imported network if it counts the steps of a quantized model, as the spiking
            one does; else `None`.
    """

    tallies: Mapping[str, RungTally] = field(default_factory=dict)
    source: Floats | None = None
    y: Floats | None = None
    steps: Graph | None = None


def climb_analogue(
    stages: AnalogueStages,
    samples: Samples,
    progress: Progress = lambda *_: None,
    *,
    wanted: Collection[str] | None = None,
    tolerance: float | None = None,
) -> Analogue:
    """Run the samples through the source model and the analogue stages.

    Args:
        stages: With the source.
        samples: With or without labels.
        progress: Told what is run, the samples done and the samples in all.
        wanted: Names of the rungs to run; `None` for all.
        tolerance: Largest error of the imported network, relative to its largest output; `None`
            for what the types of the model allow.

    Raises:
        ImportModelError: onnxruntime cannot run the source.
        InputDataError: Labels do not fit the outputs; it names the file.
    """
    rungs = rungs_with(stages.graphs)
    if not any(is_climbed(rung, rungs, wanted) for rung in (SOURCE, *stages.graphs)):
        return Analogue()
    climb = _Climb(stages.model, stages.graphs, tolerance)
    progress("source", 0, len(samples))
    with file_named(samples):
        for start, chunk in chunks(stages.prepared, samples):
            climb.add(start, chunk)
            progress("source", start + len(chunk), len(samples))
    found = climb.analogue()
    del climb
    trim_heap()
    return found


class _Climb:
    def __init__(
        self, model: ImportedModel, graphs: Mapping[str, Graph], tolerance: float | None
    ) -> None:
        self.graphs, imported = graphs, graphs[IMPORTED]
        self.tolerance = tolerance or (HALF_TOLERANCE if model.is_half else IMPORT_TOLERANCE)
        self.run_source = spike_source(model, imported)
        self.ties = TieTally()
        self.source: list[Floats] = []
        self.y: list[Floats] = []
        heads, within = heads_of(imported), f"within {self.tolerance:g}"
        if imported.of_type(LmHt) or quantizers(imported):
            within += ", ties apart"
        self.tallies = {
            SOURCE: RungTally(SOURCE, "reference", heads),
            IMPORTED: RungTally(IMPORTED, within, heads, self.tolerance),
        }
        if APPROXIMATED in graphs:
            self.tallies[APPROXIMATED] = RungTally(APPROXIMATED, "lossy by design", heads)

    def add(self, start: int, chunk: Samples) -> None:
        """Run one chunk.

        Spiking neurons are judged on what the source sends, and run on what they send.
        """
        graph, tallies = self.graphs[IMPORTED], self.tallies
        source, sent = self.run_source(chunk.x)
        forced = force(graph, chunk.x, sent, self.tolerance, start)
        y = forced.y
        if forced.ties or forced.difference is not None:
            y = run_stage(graph, chunk.x).y
        tallies[SOURCE].add(source, source, source, chunk.y)
        tallies[IMPORTED].add(y, source, source, chunk.y, forced.difference, promised=forced.y)
        self.ties.add(forced, y, source, self.tolerance)
        tallies[IMPORTED].why = self.ties.sentence
        if APPROXIMATED in tallies:
            above, y = y, run_stage(self.graphs[APPROXIMATED], chunk.x).y
            tallies[APPROXIMATED].add(y, above, source, chunk.y)
        self.source.append(source)
        self.y.append(y)

    def analogue(self) -> Analogue:
        """Return what was found."""
        imported = self.graphs[IMPORTED]
        return Analogue(
            self.tallies,
            np.concatenate(self.source),
            np.concatenate(self.y),
            imported if counts_steps(imported) else None,
        )
