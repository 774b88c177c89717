"""Step mode: every register of every neuron in every time step."""

from __future__ import annotations

import numpy as np

from targets.simulator.step import run_samples
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    circuit = program.circuit
    record = dict.fromkeys(circuit.windows, ("spikes",)) if trace else None
    result = run_samples(circuit, inputs, record=record)
    activity = result.activity
    return Execution(
        readout=result.readout >> 6 if result.readout is not None else np.zeros(0),
        counts=result.counts,
        spikes=result.trace.spikes,
        spikes_total=np.sum(list(activity.spikes.values()), axis=0),
        synaptic_operations=np.sum(list(activity.synaptic_operations.values()), axis=0),
        saturations=int(
            sum(int(n.sum()) for n in activity.saturations.values())
            + sum(int(n.sum()) for n in activity.wraps.values())
        ),
    )


ENGINES.register("step")(Engine("step", _run))
