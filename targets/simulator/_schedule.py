"""What the sources of a circuit send, and what the host writes, in every time step of a run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from targets.simulator._contract import check_bias, check_payloads
from targets.simulator._emission import Emission, emission
from targets.simulator._layout import to_rows
from targets.simulator._machine import Emissions, Writes
from toolchain.errors import InputDataError
from toolchain.ir.mapped import Circuit, Injection, IntArray, Lif, Source
from toolchain.ir.packing import packed_shape, unpack

Rows = npt.NDArray[np.int32]


class Schedule(Protocol):
    """Sources over time.

    Attributes:
        batch: Number of samples that run side by side.
        time_steps: Length of the run.
    """

    batch: int
    time_steps: int

    def at(self, t: int) -> tuple[Emissions, Writes]:
        """Return what is sent and written in step ``t``, counted from 0."""

    def sent(self) -> dict[str, IntArray]:
        """Count what each neuron of each source sends, ``(samples, neurons)`` by source."""


class GivenSchedule:
    """Arrays give every step of some sources; the others send their events once.

    The host writes bias registers in every step of a source that is given, and at the events of
    one that is not.
    """

    def __init__(
        self, circuit: Circuit, inputs: Mapping[str, npt.NDArray[Any]], time_steps: int
    ) -> None:
        self._sources = {source.name: source for source in circuit.sources}
        for name in inputs:
            if name not in self._sources:
                raise InputDataError("the circuit has no source of that name", node=name)
        self.batch = next((len(array) for array in inputs.values()), 1)
        self.time_steps = time_steps
        self._given = {
            name: _checked(circuit, self._sources[name], array, (self.batch, time_steps))
            for name, array in inputs.items()
        }
        self._events = {
            name: _events(circuit, source)
            for name, source in self._sources.items()
            if name not in inputs
        }
        self._written = _written_sources(circuit)

    def at(self, t: int) -> tuple[Emissions, Writes]:
        """See `Schedule.at`."""
        rows = {name: array[:, t] for name, array in self._given.items()}
        for name, events in self._events.items():
            if t in events:
                rows[name] = events[t]
        return _split(rows, self._sources, self._written)

    def sent(self) -> dict[str, IntArray]:
        """See `Schedule.sent`."""
        counts: dict[str, IntArray] = {
            name: np.count_nonzero(array, axis=1) for name, array in self._given.items()
        }
        for name, events in self._events.items():
            within = [rows for t, rows in events.items() if t < self.time_steps]
            counts[name] = _count_events(self._sources[name], within, self.batch)
        return counts


class SampleSchedule:
    """Samples enter through the circuit's inputs, side by side or one after the other."""

    def __init__(self, circuit: Circuit, x: npt.NDArray[Any], period: int | None) -> None:
        """Prepare a run.

        Args:
            circuit: Whose sources these are.
            x: ``(samples, *input shape)``, at least one sample; of several inputs, packed.
            period: Steps between the starts of two samples of one run; `None` runs them side by
                side, each in a batch element of its own.
        """
        self._sources = {source.name: source for source in circuit.sources}
        self._x = {
            name: _checked(circuit, self._sources[name], part, (len(x),))
            for name, part in _parts(circuit, x)
        }
        self._events = {
            name: _events(circuit, source)
            for name, source in self._sources.items()
            if name not in circuit.inputs
        }
        self._written = _written_sources(circuit)
        self._period = period
        self._samples = len(x)
        self.batch = len(x) if period is None else 1
        self.time_steps = circuit.latency + (len(x) - 1) * (period or 0)

    def at(self, t: int) -> tuple[Emissions, Writes]:
        """See `Schedule.at`."""
        rows: dict[str, Rows] = {}
        if (sample := self._begun(t)) is not None:
            for name, part in self._x.items():
                rows[name] = part if self._period is None else part[sample][None]
        for name, events in self._events.items():
            due = [
                values for step, values in events.items() if self._begun(t - step) is not None
            ]
            if due:
                rows[name] = sum(due[1:], start=due[0])
            if len(due) > 1:
                check_payloads(self._sources[name], rows[name])
        return _split(rows, self._sources, self._written)

    def sent(self) -> dict[str, IntArray]:
        """See `Schedule.sent`."""
        counts: dict[str, IntArray] = {
            name: (part != 0).astype(np.int64) for name, part in self._x.items()
        }
        for name, events in self._events.items():
            counts[name] = _count_events(
                self._sources[name], list(events.values()), self._samples
            )
        return counts

    def _begun(self, t: int) -> int | None:
        """Return the sample that starts at step ``t``; 0 where they run side by side."""
        if self._period is None:
            return 0 if t == 0 else None
        sample, phase = divmod(t, self._period)
        return sample if phase == 0 and 0 <= sample < self._samples else None


def _parts(circuit: Circuit, x: npt.NDArray[Any]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield what each input of a circuit takes of samples, by its name.

    Raises:
        InputDataError: The samples have another shape.
    """
    shape = packed_shape(circuit.input_shapes)
    if x.shape[1:] != shape:
        raise InputDataError(
            f"has shape {x.shape}; {(len(x), *shape)} is needed", node=circuit.inputs[0]
        )
    yield from zip(circuit.inputs, unpack(x, circuit.input_shapes), strict=True)


def _checked(
    circuit: Circuit, source: Source, array: npt.NDArray[Any], lead: tuple[int, ...]
) -> Rows:
    """Return ``(*lead, *shape)`` as rows of 32-bit integers.

    Raises:
        InputDataError: The array has another shape or does not hold integers.
        RangeError: A value does not fit the source's messages, or the bias it is written to.
    """
    if array.shape != (*lead, *source.shape):
        raise InputDataError(
            f"has shape {array.shape}; {(*lead, *source.shape)} is needed", node=source.name
        )
    if array.dtype.kind not in "biu":
        raise InputDataError(
            f"holds {array.dtype}; integers are needed",
            node=source.name,
            hint="encode the samples before the simulation",
        )
    check_payloads(source, array)
    for synapse in circuit.synapses:
        if isinstance(synapse, Injection) and synapse.source == source.name:
            lif = circuit.nodes[synapse.target]
            if synapse.register == "bias" and isinstance(lif, Lif):
                check_bias(lif, array)
    return to_rows(array, source.shape).astype(np.int32)


def _events(circuit: Circuit, source: Source) -> dict[int, Rows]:
    """Return the events of a constant source, ``(1, neurons)`` by step."""
    return {
        step: _checked(circuit, source, np.asarray(values)[None], (1,))
        for step, values in source.events
    }


def _count_events(source: Source, events: list[Rows], samples: int) -> IntArray:
    """Count what each neuron sends in ``events``, the same for every sample."""
    nothing = np.zeros((1, math.prod(source.shape)), np.int64)
    counts = sum(((rows != 0).astype(np.int64) for rows in events), start=nothing)
    return np.broadcast_to(counts, (samples, counts.shape[1]))


def _written_sources(circuit: Circuit) -> frozenset[str]:
    """Return the names of the sources that the host writes into bias registers."""
    return frozenset(
        synapse.source
        for synapse in circuit.synapses
        if isinstance(synapse, Injection) and synapse.register == "bias"
    )


def _split(
    rows: Mapping[str, Rows], sources: Iterable[str], written: Collection[str]
) -> tuple[Emissions, Writes]:
    """Return the rows as emissions of all ``sources``, and those that are ``written``."""
    emissions: dict[str, Emission | None] = dict.fromkeys(sources)
    emissions.update({name: emission(values) for name, values in rows.items()})
    return emissions, {name: rows[name] for name in written if name in rows}
