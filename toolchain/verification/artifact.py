"""A written artifact, run by a foreign reader, against the network it was written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.engine import ENGINES, Engine, Execution, Program
from toolchain.ir.ends import decode_sums, encode_samples
from toolchain.ir.packing import pack
from toolchain.ir.reference import counts_of, evaluate
from toolchain.ir.snn import Spiking
from toolchain.verification.comparison import first_count, first_output, first_spike

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
    """Return what the reference says of the quantized graph, sample by sample."""
    graph = program.graph
    sums = [node.inputs[0] for node in graph.outputs]
    names = [node.name for node in graph.of_type(Spiking)]
    found: dict[str, list[Floats]] = {name: [] for name in [*names, *sums]}
    for start in range(len(x)):
        values = evaluate(graph, x[start : start + 1])
        for name, each in found.items():
            each.append(counts_of(values[name]))
    arrays = {name: np.concatenate(each) for name, each in found.items()}
    return Execution(
        readout=pack([arrays[name].astype(np.int64) for name in sums]),
        counts={name: arrays[name] for name in names},
    )
