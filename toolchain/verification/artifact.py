"""A written artifact, run by a foreign reader, against the network it was written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples
from toolchain.engine import ENGINES, Engine, Execution, Program
from toolchain.ir.ends import decode_sums, encode_samples
from toolchain.ir.packing import pack
from toolchain.ir.snn import Spiking
from toolchain.verification.chunks import chunks
from toolchain.verification.comparison import first_count, first_output, first_spike
from toolchain.verification.stage_run import run_stage

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Artifact:
    """What a run of an artifact gave.

    Attributes:
        y: The model's outputs by it, ``(samples, *shape)``.
        above: By what it is compared with.
        difference: Where spikes, counts or outputs first differ; `None` if they do not.
    """

    y: Floats
    above: Floats
    difference: str | None


def run_artifact(engine: Engine, program: Program, x: npt.NDArray[Any]) -> Artifact:
    """Run an artifact and compare it.

    Single spikes are compared with those of the step engine; where there are none, counts are
    compared with the meaning of the quantized graph, which takes less time than steps.

    Args:
        engine: That runs it.
        program: With the folder it was written to.
        x: ``(samples, *source_shape)``.

    Raises:
        CompileError: The artifact cannot be run.
    """
    graph = program.graph
    inputs = encode_samples(graph, x)
    theirs = engine.run(program, inputs, trace=True)
    if theirs.spikes:
        ours = ENGINES["step"].run(program, inputs, trace=True)
        difference = first_spike(program.circuit, theirs.spikes, ours.spikes)
    else:
        ours = _meant(program, x)
        difference = first_count(theirs.counts, ours.counts)
    return Artifact(
        y=decode_sums(graph, theirs.readout),
        above=decode_sums(graph, ours.readout),
        difference=difference or first_output(theirs.readout, ours.readout),
    )


def _meant(program: Program, x: npt.NDArray[Any]) -> Execution:
    """Return what the reference says of the quantized graph."""
    graph = program.graph
    runs = [run_stage(graph, chunk.x) for _, chunk in chunks(graph, Samples(x))]
    sums = (np.concatenate([run.read[node.name] for run in runs]) for node in graph.outputs)
    return Execution(
        readout=pack([total.astype(np.int64) for total in sums]),
        counts={
            node.name: np.concatenate([run.counts[node.name] for run in runs])
            for node in graph.of_type(Spiking)
        },
    )
