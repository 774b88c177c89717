r"""Schedules: when the samples of a circuit follow one another.

*Sequential*: a sample enters when the answer to the one before it has been read.

*Pipelined*: a sample enters as soon as no population still needs its neurons for the one before
it. Spikes of a sample arrive, are sent and are read in the same steps after its first one as in
the sequential schedule, so that latency, neurons, synapses and spikes are the same.

A population with a memory is *occupied* by a sample from step :math:`r`, in which the first
spike that it reads arrives, to step :math:`e`, in which it has lost what its last spikes
subtract and has been closed; one whose outputs are read, until they are. If it is reset in step
:math:`r`, and its constants arrive then, another sample may follow :math:`e - r + 1` steps
later: what it holds from step :math:`r` on is the same whatever was before, and nothing of the
next sample arrives until step :math:`e`. A population without memory is occupied while it
spikes, and one that fires binary numbers gathers the next sample meanwhile. The period is the
largest of all these numbers. ``docs/semantics.md``, section 3, has the proof, and what the
period is for chains and for branches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from toolchain.errors import UnknownNameError
from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.mapped import Circuit, IntArray, Lif, Population, Readout, Source
from toolchain.ir.radix import Radix, RadixMax

SEQUENTIAL, PIPELINED = "sequential", "pipelined"

AUTO = "auto"
"""What an option says that leaves the choice to the compiler."""

SCHEDULES = (SEQUENTIAL, PIPELINED)


def require_schedule(name: str) -> None:
    """Check that there is a schedule of that name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in (AUTO, *SCHEDULES):
        known = ", ".join((AUTO, *SCHEDULES))
        raise UnknownNameError(f"no schedule is called {name!r}; known: {known}")


def schedule_of(circuit: Circuit) -> str:
    """Return the name of the schedule that a circuit has."""
    return PIPELINED if circuit.period < circuit.latency else SEQUENTIAL


def periods_of(circuit: Circuit) -> dict[str, int]:
    """Return the time steps from sample to sample that each schedule would take, by name."""
    occupied = (_occupied(circuit, node) for node in circuit.populations)
    return {SEQUENTIAL: circuit.latency, PIPELINED: max(occupied, default=1)}


def scheduled(circuit: Circuit, schedule: str) -> Circuit:
    """Return a circuit with the schedule of that name.

    Args:
        circuit: As a lowering maps it.
        schedule: One of `SCHEDULES`, or `AUTO` for the one that the circuit has.

    Raises:
        UnknownNameError: There is no such schedule.
    """
    require_schedule(schedule)
    if schedule in (AUTO, schedule_of(circuit)):
        return circuit
    period = periods_of(circuit)[schedule]
    if schedule == SEQUENTIAL:
        populations = tuple(_timed(node, period, 0) for node in circuit.populations)
        return dataclasses.replace(circuit, populations=populations, period=period)
    begins = {node.name: _occupation(circuit, node.name)[0] for node in circuit.populations}
    return dataclasses.replace(
        circuit,
        sources=tuple(_later(circuit, source, begins) for source in circuit.sources),
        populations=tuple(
            _timed(node, period, begins[node.name]) for node in circuit.populations
        ),
        period=period,
        readouts=tuple(_read_at_once(circuit, readout) for readout in circuit.readouts),
    )


def is_silent_at_rest(circuit: Circuit) -> bool:
    """Tell whether no neuron spikes unless a sample or a constant source makes it."""
    return all(
        isinstance(node, Lif) and not np.any(node.bias_mantissa) for node in circuit.populations
    )


def has_memory(population: Population) -> bool:
    """Tell whether a population keeps something from one time step to the next."""
    return isinstance(population, Lif) and bool(
        np.any(np.asarray(population.decay_u) < DECAY_UNITY)
        or np.any(np.asarray(population.decay_v) < DECAY_UNITY)
    )


def _occupied(circuit: Circuit, population: Population) -> int:
    """Return for how many steps a sample occupies a population."""
    if has_memory(population):
        return len(_occupation(circuit, population.name))
    window = circuit.windows.get(population.name)
    return 1 if window is None else window.length


def _occupation(circuit: Circuit, name: str) -> range:
    """Return the steps in which a sample needs what a population holds."""
    arrivals = list(_arrivals(circuit, name))
    begin = min((first for first, _ in arrivals), default=1)
    window = circuit.windows.get(name)
    if window is None:
        return range(begin, max((last for _, last in arrivals), default=1) + 1)
    return range(min(begin, window.start), window.start + window.length + 1)


def _arrivals(circuit: Circuit, name: str) -> Iterator[tuple[int, int]]:
    """Yield in which step the first, and the last, spike arrives of each that one reads."""
    for source in {synapse.source for synapse in circuit.into(name)} - {name}:
        if source in circuit.inputs:
            yield 1, 1
        elif source in circuit.windows:
            window = circuit.windows[source]
            yield window.start + 1, window.start + window.length


def _later(circuit: Circuit, source: Source, begins: Mapping[str, int]) -> Source:
    """Return a constant source whose first event arrives when what it drives is reset."""
    if not source.events:
        return source
    (target,) = {entry.target for entry in circuit.synapses if entry.source == source.name}
    events: dict[int, IntArray] = {}
    for step, values in source.events:
        at = step or begins[target] - 1
        events[at] = events[at] + values if at in events else values
    return dataclasses.replace(source, events=tuple(sorted(events.items())))


def _timed(population: Population, period: int, begin: int) -> Population:
    """Return a population with what depends on the time between samples."""
    if isinstance(population, Radix | RadixMax):
        return dataclasses.replace(population, interval=period)
    if not isinstance(population, Lif):
        return population
    if not has_memory(population):
        return dataclasses.replace(population, reset_interval=None, reset_offset=0)
    return dataclasses.replace(population, reset_interval=period, reset_offset=begin % period)


def _read_at_once(circuit: Circuit, readout: Readout) -> Readout:
    """Return a readout that does not wait for populations that it does not read."""
    step = _occupation(circuit, readout.population)[-1]
    return dataclasses.replace(readout, step=step)
