"""Count mode: spike counts as integer layers, without single spikes."""

from __future__ import annotations

from targets.simulator.count import count_spikes
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    result = count_spikes(program.graph, inputs)
    return Execution(readout=result.readout, counts=result.counts)


ENGINES.register("count")(Engine("count", _run))
