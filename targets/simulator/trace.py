"""Traces of chosen populations and neurons, at a cost that grows with what is asked for.

Spikes are written from counts, which need no time steps. Currents and potentials need them, but
only of the population that is asked for: what it reads is known. A sample for which neither is
proved (``targets.simulator._within_bounds``) is run step by step, with all populations before
those asked for, and so is everything in circuits whose neurons do not wait for a sample to
spike.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from targets.engines.count import spike_counts
from targets.simulator._excerpt import all_before, alone, populations_before
from targets.simulator._graph_counts import counted_populations, graph_counts
from targets.simulator._machine import Machine
from targets.simulator._recorder import Record, Recorder, check_record
from targets.simulator._samples import sample_bytes
from targets.simulator._schedule import SampleSchedule, Schedule
from targets.simulator._told_schedule import ToldSchedule
from targets.simulator._traced import Traced
from targets.simulator._trains import Counts
from targets.simulator._within_bounds import watched
from targets.simulator.step import MEMORY_BYTES
from toolchain.engine import Ints, PopulationTrace, Program, Selection
from toolchain.errors import InputDataError
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.ir.snn import Spiking
from toolchain.npz_file import LARGEST_BYTES
from toolchain.schedule import is_silent_at_rest

Rows: TypeAlias = npt.NDArray[np.int64]

_COUNTS_BYTES = 1 << 26
"""Samples are taken together as far as their counts, a byte each, fit into this."""


def trace_samples(
    program: Program, inputs: Ints, selection: Selection
) -> Mapping[str, PopulationTrace]:
    """Trace populations for encoded samples.

    Args:
        program: A compiled network.
        inputs: ``(samples, *input shape)``, at least one.
        selection: What to trace.

    Raises:
        InputDataError: A neuron does not exist, or the trace would not fit into memory.
        UnknownNameError: A population or register does not exist.
    """
    circuit = program.circuit
    counted = counted_populations(program.graph)
    counted &= circuit.windows.keys()
    names = selection.populations or tuple(n for n in circuit.windows if n in counted)
    check_record(circuit, dict.fromkeys(names, selection.registers))
    _require_neurons(circuit, names, selection)
    traced = {
        name: Traced(circuit, name, selection, is_counted=name in counted) for name in names
    }
    _require_room(sum(one.sample_bytes for one in traced.values()), len(inputs))
    run = _Run(program, traced, selection, counted)
    for one in traced.values():
        one.start(len(inputs))
    for start in range(0, len(inputs), run.chunk):
        run.trace(inputs[start : start + run.chunk], start)
    return {name: one.finish() for name, one in traced.items()}


class _Run:
    """Traces some samples after others.

    Attributes:
        chunk: Samples to take at a time.
    """

    def __init__(
        self,
        program: Program,
        traced: Mapping[str, Traced],
        selection: Selection,
        counted: Collection[str],
    ) -> None:
        self._program, self._traced, self._selection = program, traced, selection
        self._counted = counted
        circuit = program.circuit
        self._is_silent = is_silent_at_rest(circuit)
        self._watched, self._beyond = _watched(
            program.graph, frozenset(populations_before(circuit, traced))
        )
        units = sum(math.prod(shape) for shape in program.graph.shapes.values())
        self.chunk = max(1, _COUNTS_BYTES // units)

    def trace(self, inputs: Ints, start: int) -> None:
        """Trace samples of which the first has the number ``start``."""
        graph = self._program.graph
        names = [node.name for node in graph.of_type(Spiking)]
        names += [self._beyond] if self._beyond else []
        counted = spike_counts(self._watched, inputs, names)
        counts = graph_counts(graph, inputs, counted)
        is_beyond = np.zeros(len(inputs)) if self._beyond is None else counted[self._beyond]
        bounded, others = np.flatnonzero(is_beyond == 0), np.flatnonzero(is_beyond)
        if len(bounded):
            self._from_counts(
                inputs[bounded],
                {name: values[bounded] for name, values in counts.items()}
                if len(others)
                else counts,
                start + bounded,
            )
        if len(others):
            everything = dict.fromkeys(self._traced, self._selection.registers)
            self._stepped(inputs[others], start + others, everything)

    def _from_counts(self, inputs: Ints, counts: Mapping[str, Counts], rows: Rows) -> None:
        for name, traced in self._traced.items():
            if traced.train is not None:
                traced.put_counts(rows, counts[name])
        needed = {
            name: traced.stepped for name, traced in self._traced.items() if traced.stepped
        }
        if not self._is_silent:
            if needed:
                self._stepped(inputs, rows, needed)
            return
        for name, registers in needed.items():
            circuit = self._program.circuit
            excerpt = alone(circuit, name, self._selection.neurons, self._counted)
            machine, record = Machine(excerpt), {name: registers}
            for part in _parts(machine, record, len(inputs)):
                told = {key: values[part] for key, values in counts.items()}
                schedule = ToldSchedule(excerpt, circuit, inputs[part], told)
                self._put(machine, _recorded(machine, schedule, record), rows[part])

    def _stepped(self, inputs: Ints, rows: Rows, record: Mapping[str, tuple[str, ...]]) -> None:
        machine = Machine(all_before(self._program.circuit, record))
        for part in _parts(machine, record, len(inputs)):
            schedule = SampleSchedule(machine.circuit, inputs[part], None)
            self._put(machine, _recorded(machine, schedule, record), rows[part])

    def _put(self, machine: Machine, recorder: Recorder, rows: Rows) -> None:
        nodes = self._program.circuit.nodes
        for register in self._selection.registers:
            for name, values in recorder.arrays(register).items():
                traced = self._traced[name]
                is_whole = machine.circuit.nodes[name] is nodes[name]
                traced.put_steps(register, rows, traced.chosen(values) if is_whole else values)


@functools.lru_cache(maxsize=2)
def _watched(graph: Graph, populations: frozenset[str]) -> tuple[Graph, str | None]:
    """Return the same graph each time populations are traced, so that it is prepared once."""
    return watched(graph, populations)


def _recorded(machine: Machine, schedule: Schedule, record: Record) -> Recorder:
    machine.start(schedule.batch)
    recorder = Recorder(machine, record, schedule.batch, schedule.time_steps)
    for t in range(schedule.time_steps):
        machine.step(t, *schedule.at(t))
        recorder.add(t)
    return recorder


def _parts(machine: Machine, record: Record, samples: int) -> Iterator[slice]:
    """Yield the samples to run side by side."""
    size = max(1, MEMORY_BYTES // sample_bytes(machine, record))
    return (slice(start, start + size) for start in range(0, samples, size))


def _require_neurons(circuit: Circuit, names: tuple[str, ...], selection: Selection) -> None:
    for name in names:
        neurons = math.prod(circuit.nodes[name].shape)
        outside = [n for n in selection.neurons if not 0 <= n < neurons]
        if outside:
            raise InputDataError(
                f"has no neuron {outside[0]}; they are numbered 0 to {neurons - 1}", node=name
            )


def _require_room(sample_bytes: int, samples: int) -> None:
    size = sample_bytes * samples
    if size > LARGEST_BYTES:
        raise InputDataError(
            f"a trace of {samples} samples takes {size} bytes; it may take {LARGEST_BYTES}",
            hint="trace fewer samples, populations, neurons or registers",
        )
