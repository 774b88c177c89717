"""Traces of chosen samples of a data set, and the file they are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples, save_arrays
from toolchain.engine import ENGINES, PopulationTrace, Selection, Trace
from toolchain.errors import InputDataError
from toolchain.evaluation.piece_result import require_engine
from toolchain.evaluation.shards import Shards


def require_tracing(engine: str) -> Trace:
    """Return the function by which an engine traces.

    Raises:
        InputDataError: It has none.
        MissingDependencyError: The engine needs a package that is absent.
        UnknownNameError: There is no such engine.
    """
    require_engine(engine)
    trace = ENGINES[engine].trace
    if trace is None:
        able = ", ".join(name for name in ENGINES if ENGINES[name].trace is not None)
        raise InputDataError(
            f"the engine {engine!r} traces nothing", hint=f"use one that does: {able}"
        )
    return trace


def choose_samples(shards: Shards, numbers: Sequence[int]) -> Samples:
    """Return some samples of a data set, without labels, in the order of the data set.

    Args:
        shards: The data set.
        numbers: Of the samples, over all files; empty for all.

    Raises:
        InputDataError: There is no sample of a number, or a file cannot be read.
    """
    wanted = np.unique(np.asarray(numbers, np.int64)) if numbers else np.arange(len(shards))
    if wanted[-1] >= len(shards):
        raise InputDataError(
            f"there is no sample {wanted[-1]}; they are numbered 0 to {len(shards) - 1}",
            node=shards.files[-1].source,
        )
    chosen, first = [], 0
    for piece in shards.pieces():
        stop = first + len(piece.samples)
        here = wanted[(wanted >= first) & (wanted < stop)]
        chosen.append(piece.samples.x[here - first])
        first = stop
        if first > wanted[-1]:
            break
    return Samples(np.concatenate(chosen))


def save_traces(
    path: Path,
    traces: Mapping[str, PopulationTrace],
    selection: Selection,
    samples: Sequence[int],
) -> None:
    """Write traces to an npz file, which appears as a whole or not at all.

    Of a population ``relu`` it holds the arrays ``relu:spikes`` with ``relu:first_step``,
    ``relu:u`` and ``relu:v``, as far as they were asked for, as `PopulationTrace` has them.

    Args:
        path: Of the file.
        traces: By population.
        selection: What was asked for; its neurons are the array ``neurons``.
        samples: Numbers of the samples, as for `choose_samples`; they are the array
            ``samples``.

    Raises:
        OutputFolderError: The file cannot be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    if selection.neurons:
        arrays["neurons"] = np.asarray(selection.neurons, np.int64)
    for name, trace in traces.items():
        if trace.spikes is not None:
            arrays[f"{name}:first_step"] = np.asarray(trace.first_step)
        for register in selection.registers:
            arrays[f"{name}:{register}"] = getattr(trace, register)
            count = len(arrays[f"{name}:{register}"])
            arrays["samples"] = np.unique(samples) if samples else np.arange(count)
    save_arrays(path, arrays)
