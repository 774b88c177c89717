"""Step mode: every register of every neuron in every time step."""

from __future__ import annotations

import numpy as np

from targets.simulator.step import Activity, SampleResult, run_samples
from targets.simulator.trace import trace_samples
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program
from toolchain.ir.mapped import Circuit
from toolchain.schedule import is_silent_at_rest


def _run(program: Program, inputs: Ints, *, trace: bool) -> Execution:
    circuit = program.circuit
    record = dict.fromkeys(circuit.windows, ("spikes",)) if trace else None
    result = run_samples(circuit, inputs, record=record)
    activity = result.activity
    return Execution(
        readout=_weight_units(circuit, result),
        counts=result.counts,
        spikes=result.trace.spikes,
        spikes_total=np.sum(list(activity.spikes.values()), axis=0),
        synaptic_operations=np.sum(list(activity.synaptic_operations.values()), axis=0),
        graded_operations=_graded(circuit, activity),
        saturations=int(
            sum(int(n.sum()) for n in activity.saturations.values())
            + sum(int(n.sum()) for n in activity.wraps.values())
            + _strays(circuit, result)
        ),
    )


def _weight_units(circuit: Circuit, result: SampleResult) -> Ints:
    """Return the readout in weight units; nothing where there is none."""
    if result.readout is None:
        return np.zeros(0, np.int64)
    return circuit.in_weight_units(result.readout)


def _strays(circuit: Circuit, result: SampleResult) -> int:
    """Count the spikes outside of windows: a sum has gone beyond an observed bound.

    Where biases make neurons spike, there are others before and after a sample.
    """
    if not is_silent_at_rest(circuit):
        return 0
    everywhere, inside = result.trace.activity.spikes, result.activity.spikes
    return sum(int((everywhere[name] - inside[name]).sum()) for name in circuit.windows)


def _graded(circuit: Circuit, activity: Activity) -> Ints:
    """Return the synaptic operations that payloads caused, per sample."""
    graded = {source.name for source in circuit.sources if source.message_bits}
    operations = [
        activity.synaptic_operations[synapse.name]
        for synapse in circuit.synapses
        if synapse.source in graded
    ]
    return np.sum(operations, axis=0)


ENGINES.register("step")(Engine("step", _run, trace=trace_samples))
