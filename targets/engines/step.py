"""Step mode: every register of every neuron in every time step."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from targets.simulator._senders import stands_for, windows_of
from targets.simulator.step import Activity, SampleResult, run_samples
from targets.simulator.trace import trace_samples
from toolchain.engine import ENGINES, Engine, Execution, Ints, Program, Sent
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
        activity=_sent(program, result),
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


def _sent(program: Program, result: SampleResult) -> dict[str, Sent]:
    """Return what each population sent; spikes of windows are told apart by their counts."""
    graph, circuit = program.graph, program.circuit
    silent = {readout.population for readout in circuit.readouts}
    found: dict[str, Sent] = {}
    for name in (population.name for population in circuit.populations):
        if name in silent:
            continue
        node = stands_for(circuit, name, graph) or name
        spikes = result.activity.spikes[name][:, None]
        windows = windows_of(graph, node) if node in graph else 1
        if windows > 1:
            spikes = result.counts[node].reshape(len(spikes), windows, -1).sum(axis=2)
        sent = Sent(spikes, _operations(circuit, result.activity, [name]))
        found[node] = found[node] + sent if node in found else sent
    return found


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
    graded = [source.name for source in circuit.sources if source.message_bits]
    return _operations(circuit, activity, graded)


def _operations(circuit: Circuit, activity: Activity, senders: Collection[str]) -> Ints:
    """Return the synaptic operations that some senders caused, per sample."""
    operations = [
        activity.synaptic_operations[synapse.name]
        for synapse in circuit.synapses
        if synapse.source in senders
    ]
    return np.sum(operations, axis=0)


ENGINES.register("step")(Engine("step", _run, trace=trace_samples))
