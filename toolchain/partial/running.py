"""Runs of a finished build in segments."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from toolchain.data import Samples, file_named
from toolchain.evaluation.crew import evaluate
from toolchain.evaluation.outputs import Outputs
from toolchain.evaluation.piece_result import PieceResult, Tally, require_engine
from toolchain.evaluation.shards import find_shards
from toolchain.execution import RunResult
from toolchain.metrics import count_right
from toolchain.partial.chain import Chain
from toolchain.partial.manifest import Manifest, read_manifest

Progress: TypeAlias = Callable[[str, int, int], None]


def run_partial(
    folder: Path,
    data: Path,
    *,
    engine: str = "count",
    output: Path | None = None,
    progress: Progress = lambda *_: None,
) -> RunResult:
    """Run a data set through a finished build in segments.

    Args:
        folder: That `compile_partial` has written.
        data: An npz file with ``x``, or an array for each of several inputs, and perhaps ``y``;
            or a folder of such files.
        engine: Name of the engine that runs the segments on the chip.
        output: Where the model's outputs go: a file, or a new folder if ``data`` is one.
        progress: Told the engine, the samples done and the samples in all.

    Raises:
        InputDataError: The folder is no such build, or the samples do not fit it.
        MissingDependencyError: The engine needs a package that is absent.
        OutputFolderError: ``output`` cannot be written.
    """
    manifest = read_manifest(folder)
    shards = find_shards(data, manifest.shape, manifest.input_parts)
    require_engine(engine)
    parts = manifest.output_parts
    keep = (lambda *_: None) if output is None else Outputs(data, output, parts).keep
    crew = _Segments(manifest, engine)
    began = time.perf_counter()
    tally = evaluate(shards, crew, keep, lambda *done: progress(engine, *done))
    return RunResult(tally, engine, time.perf_counter() - began)


class _Segments:
    """A crew of one: runs pieces through all segments; see `toolchain.evaluation.crew.Crew`.

    Attributes:
        places: One.
    """

    places = 1

    def __init__(self, manifest: Manifest, engine: str) -> None:
        self._manifest = manifest
        self._runs = {part.name: manifest.on_chip(part, engine) for part in manifest.chips}
        self._chain: Chain = manifest.chain(lambda part: self._runs[part.name])
        self._given: list[tuple[int, Samples]] = []

    def give(self, number: int, samples: Samples) -> None:
        """See `Crew.give`."""
        self._given.append((number, samples))

    def take(self) -> tuple[int, PieceResult | None]:
        """See `Crew.take`."""
        number, samples = self._given.pop(0)
        heads = self._manifest.heads
        y = self._chain.answers(samples.x, heads)
        right, answers = 0, 0
        if samples.y is not None:
            with file_named(samples):
                right, answers = count_right(y, samples.y, tuple(heads.values()))
        tally = dataclasses.replace(
            self._counted(), samples=len(samples), answers=answers, right=right
        )
        return number, PieceResult(y, tally)

    def _counted(self) -> Tally:
        """Return what all segments on the chip have counted since the last time."""
        total: Tally | None = None
        for run in self._runs.values():
            if run.tally is not None:
                total = run.tally if total is None else total + run.tally
            run.tally = None
        return total or Tally(samples=0, answers=0, right=0)
