"""Runs of what has been compiled: a finished build, or a network file of another tool."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.build_folder import read_report
from toolchain.data import Samples, require_shape
from toolchain.engine import ENGINES, NETWORK_FILES, Engine, Program
from toolchain.errors import MissingDependencyError
from toolchain.ir.archive import load_archive
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.ir.reference import decode, encode
from toolchain.metrics import accuracy

Progress: TypeAlias = Callable[[str, int, int], None]

GRAPH_FILE = "graph.npz"
"""The quantized graph in a build folder."""

CIRCUIT_FILE = "circuit.npz"
"""The circuit in a build folder."""

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run gave.

    Attributes:
        y: Outputs in the units of the model's output, ``(samples, *shape)``.
        metric: Share of right answers; `None` without labels.
        engine: Name of the engine.
        seconds: Time the engine took.
    """

    y: npt.NDArray[Any]
    metric: float | None
    engine: str
    seconds: float


def run_build(
    folder: Path,
    samples: Samples,
    *,
    engine: str = "count",
    progress: Progress = lambda *_: None,
) -> RunResult:
    """Run samples through a finished build.

    Args:
        folder: That `compile_model` has written.
        samples: In the units that the source model expects.
        engine: Name of an engine.
        progress: Told the engine, the samples done and the samples in all.

    Raises:
        InputDataError: The folder is no build, or the samples do not fit it.
        MissingDependencyError: The engine needs a package that is absent.
    """
    read_report(folder)
    graph = load_archive(folder / GRAPH_FILE, Graph)
    circuit = load_archive(folder / CIRCUIT_FILE, Circuit)
    require_shape(samples, graph.input.source_shape)
    chosen = ENGINES[engine]
    missing = chosen.missing()
    if missing is not None:
        raise MissingDependencyError(f"engine {engine!r} cannot run here: {missing}")
    began = time.perf_counter()
    y = _run(chosen, Program(graph, circuit, folder), samples.x, progress)
    seconds = time.perf_counter() - began
    labels, tail = samples.y, graph.output.tail
    metric = None if labels is None else accuracy(y, labels, tail)
    return RunResult(y, metric, engine, seconds)


def run_network_file(
    path: Path, samples: Samples, *, progress: Progress = lambda *_: None
) -> RunResult:
    """Run samples through a network file of another tool, known by its suffix.

    Args:
        path: Of the file.
        samples: As the network takes them.
        progress: Told the kind of file, the samples done and the samples in all.

    Raises:
        ImportModelError: The file cannot be read.
        InputDataError: The samples do not fit it.
        UnknownNameError: No file of that suffix can be run.
    """
    kind = path.suffix.removeprefix(".")
    run = NETWORK_FILES[kind]
    progress(kind, 0, len(samples))
    began = time.perf_counter()
    y = run(path, samples.x)
    seconds = time.perf_counter() - began
    metric = None if samples.y is None else accuracy(y, samples.y)
    return RunResult(y, metric, kind, seconds)


def _run(
    engine: Engine, program: Program, x: npt.NDArray[Any], progress: Progress
) -> npt.NDArray[Any]:
    outputs = []
    chunk = engine.samples_max or _CHUNK
    for start in range(0, len(x), chunk):
        progress(engine.name, start, len(x))
        inputs = encode(program.graph.input, x[start : start + chunk]).astype(np.int64)
        readout = engine.run(program, inputs, trace=False).readout
        outputs.append(decode(program.graph.output, readout.astype(np.float64)))
    progress(engine.name, len(x), len(x))
    return np.concatenate(outputs)
