"""Runs of what has been compiled: a finished build, or a network file of another tool."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from toolchain.build_folder import listed_files, read_report
from toolchain.data import load_samples, save_arrays
from toolchain.digest import digest_of
from toolchain.engine import ENGINES, NETWORK_FILES, PopulationTrace, Program, Selection
from toolchain.errors import InputDataError
from toolchain.evaluation.crew import Crew, OneProcess, evaluate
from toolchain.evaluation.outputs import Outputs, require_place
from toolchain.evaluation.piece_result import Tally, require_engine
from toolchain.evaluation.ray_crew import ray_crew
from toolchain.evaluation.shards import Shards, find_shards
from toolchain.evaluation.traces import choose_samples, require_tracing
from toolchain.ir.archive import load_archive
from toolchain.ir.ends import (
    encode_samples,
    input_parts,
    output_parts,
    require_same_ends,
    sample_shape,
)
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.ir.verify import verify_phase
from toolchain.metrics import count_right

Progress: TypeAlias = Callable[[str, int, int], None]

GRAPH_FILE = "graph.npz"
"""The quantized graph in a build folder."""

CIRCUIT_FILE = "circuit.npz"
"""The circuit in a build folder."""


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Attributes:
        tally: What was counted.
        engine: Name of the engine.
        seconds: From the first sample read to the last output.
    """

    tally: Tally
    engine: str
    seconds: float


@dataclass(frozen=True)
class Workers:
    """Processes that share a run.

    Attributes:
        count: How many, at least 1.
        cluster: Address of a Ray cluster; `None` starts them on this machine.
    """

    count: int
    cluster: str | None = None


def load_program(folder: Path, engine: str | None = None) -> Program:
    """Return the network of a finished build, whose circuit is read when it is asked for.

    Args:
        folder: That `compile_model` has written.
        engine: Name of the engine that is to run it; one that runs what a format has written
            needs all files as they were written.

    Raises:
        InputDataError: The folder is no build, or is damaged.
        UnknownNameError: There is no such engine.
        VerifyError: Its graph is none that can be run.
    """
    report = read_report(folder)
    reads_more = engine is not None and ENGINES[engine].artifact is not None
    for name in listed_files(report, folder) if reads_more else (GRAPH_FILE, CIRCUIT_FILE):
        _require_unchanged(folder, name, report.get("sha256"))
    graph = load_archive(folder / GRAPH_FILE, Graph)
    verify_phase(graph)
    read = functools.partial(_read_circuit, folder / CIRCUIT_FILE, graph)
    return Program(graph, read, folder.absolute())


def _read_circuit(path: Path, graph: Graph) -> Circuit:
    """Return the circuit of a build.

    Raises:
        InputDataError: The file is missing, or no circuit.
        VerifyError: It is another network's.
    """
    circuit = load_archive(path, Circuit)
    require_same_ends(graph, circuit)
    return circuit


def _require_unchanged(folder: Path, name: str, digests: Any) -> None:
    """Refuse a file that is not as its build says, if that says anything."""
    file, noted = folder / name, digests.get(name) if isinstance(digests, dict) else None
    if noted is not None and file.is_file() and digest_of(file) != noted:
        raise InputDataError(
            "has changed since the build was written",
            node=str(file),
            hint="compile the network again",
        )


def run_build(
    folder: Path,
    data: Path,
    *,
    engine: str = "count",
    workers: Workers | None = None,
    output: Path | None = None,
    progress: Progress = lambda *_: None,
) -> RunResult:
    """Run a data set through a finished build.

    The result is the same, to the last bit, whatever the workers.

    Args:
        folder: That `compile_model` has written.
        data: An npz file with ``x`` and perhaps ``y``, or a folder of such files.
        engine: Name of an engine.
        workers: Who shares the work; `None` for nobody else.
        output: Where the model's outputs go: a file, or a new folder if ``data`` is one.
        progress: Told the engine, the samples done and the samples in all.

    Raises:
        InputDataError: The folder is no build, or the samples do not fit it.
        MissingDependencyError: The engine, or the workers, need a package that is absent.
        OutputFolderError: ``output`` cannot be written.
        WorkerError: Workers cannot be had, or are lost again and again.
    """
    program = load_program(folder, engine)
    shards = _shards_of(program.graph, data)
    require_engine(engine)
    parts = output_parts(program.graph)
    keep = (lambda *_: None) if output is None else Outputs(data, output, parts).keep
    with _crew(program, engine, workers) as crew:
        began = time.perf_counter()
        tally = evaluate(shards, crew, keep, lambda *done: progress(engine, *done))
        seconds = time.perf_counter() - began
    return RunResult(tally, engine, seconds)


def trace_build(
    folder: Path,
    data: Path,
    selection: Selection,
    *,
    samples: Sequence[int] = (),
    engine: str = "step",
    progress: Progress = lambda *_: None,
) -> Mapping[str, PopulationTrace]:
    """Trace populations of a finished build on chosen samples.

    Args:
        folder: That `compile_model` has written.
        data: An npz file with ``x``, or a folder of such files.
        selection: What to trace.
        samples: Their numbers over all files, from 0; none takes all.
        engine: Name of an engine.
        progress: Told the engine, and that it is at work.

    Returns:
        Traces by population, the samples in the order of the data set.

    Raises:
        InputDataError: The folder is no build, the samples do not fit it or do not exist, or
            the trace would not fit into memory.
        UnknownNameError: There is no such engine, population or register.
    """
    program = load_program(folder)
    shards = _shards_of(program.graph, data)
    trace = require_tracing(engine)
    chosen = choose_samples(shards, samples)
    progress(engine, 0, 1)
    return trace(program, encode_samples(program.graph, chosen.x), selection)


def _shards_of(graph: Graph, data: Path) -> Shards:
    return find_shards(data, sample_shape(graph), input_parts(graph))


def run_network_file(
    path: Path,
    data: Path,
    *,
    output: Path | None = None,
    progress: Progress = lambda *_: None,
) -> RunResult:
    """Run samples through a network file of another tool, known by its suffix.

    Args:
        path: Of the file.
        data: An npz file with ``x``, as the network takes it, and perhaps ``y``.
        output: File for the network's outputs.
        progress: Told the kind of file, the samples done and the samples in all.

    Raises:
        ImportModelError: The file cannot be read.
        InputDataError: The samples do not fit it.
        OutputFolderError: ``output`` cannot be written.
        UnknownNameError: No file of that suffix can be run.
    """
    if output is not None:
        require_place(output, data)
    samples = load_samples(data, None, labelled=None)
    kind = path.suffix.removeprefix(".")
    run = NETWORK_FILES[kind]
    progress(kind, 0, len(samples))
    began = time.perf_counter()
    y = run(path, samples.x)
    seconds = time.perf_counter() - began
    right, answers = (0, 0) if samples.y is None else count_right(y, samples.y)
    if output is not None:
        save_arrays(output, {"y": y})
    return RunResult(Tally(samples=len(y), answers=answers, right=right), kind, seconds)


@contextlib.contextmanager
def _crew(program: Program, engine: str, workers: Workers | None) -> Iterator[Crew]:
    if workers is None:
        yield OneProcess(program, engine)
        return
    with ray_crew(program, engine, workers.count, workers.cluster) as crew:
        yield crew
