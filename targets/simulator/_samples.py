"""Runs that take samples: side by side from rest, or one after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.simulator._carriers import add_copies
from targets.simulator._layout import from_rows
from targets.simulator._machine import Machine
from targets.simulator._recorder import SPIKES, Record, Recorder
from targets.simulator._results import Activity, SampleResult, Trace, summed
from targets.simulator._schedule import SampleSchedule
from targets.simulator._tally import Counts, Tally, activity
from toolchain.errors import InputDataError, UnknownNameError
from toolchain.ir.mapped import Circuit, IntArray, Shape, Window
from toolchain.ir.packing import pack

_STATE_BYTES = 16
_PASSING_BYTES = 24


def run(
    machine: Machine,
    x: npt.NDArray[Any],
    period: int | None,
    record: Record,
    counted: Mapping[str, Window],
) -> SampleResult:
    """Run the machine from rest over all samples of ``x``.

    Args:
        machine: Of a circuit with a timetable.
        x: ``(samples, *input shape)``.
        period: Steps between two samples of one run; `None` runs them side by side.
        record: Registers to keep, by population.
        counted: Windows of the populations whose spike counts to return.
    """
    circuit = machine.circuit
    if not len(x):
        raise InputDataError("there are no samples", node=circuit.inputs[0])
    schedule = SampleSchedule(circuit, x, period)
    machine.start(schedule.batch)
    recorder = Recorder(machine, record, schedule.batch, schedule.time_steps)
    tally = Tally(machine, len(x), schedule.time_steps, period, circuit.windows)
    readout = _Readings(machine, len(x), period)
    for t in range(schedule.time_steps):
        machine.step(t, *schedule.at(t))
        recorder.add(t)
        tally.add(t)
        readout.add(t)
    overflows = tally.overflows()
    sent = schedule.sent()
    total = of_samples = activity(machine, {**sent, **tally.inside}, *overflows)
    if tally.outside:
        total = activity(machine, {**sent, **tally.everywhere()}, *overflows)
    return SampleResult(
        readout=readout.values(),
        counts={
            name: _over_copies(
                tally.numbers.get(name, tally.inside[name]), circuit.nodes[name].shape, window
            )
            for name, window in counted.items()
        },
        activity=of_samples,
        trace=traced(recorder, total if period is None else summed(total)),
    )


class _Readings:
    """Register ``v`` of what is read out, at its step of each sample."""

    def __init__(self, machine: Machine, samples: int, period: int | None) -> None:
        self._machine = machine
        self._readouts = machine.circuit.readouts
        self._period = period
        neurons = (machine.neurons[readout.population] for readout in self._readouts)
        self._rows = [np.zeros((samples, count), np.int64) for count in neurons]

    def add(self, t: int) -> None:
        """Read what is due after step ``t``."""
        for readout, rows in zip(self._readouts, self._rows, strict=True):
            elapsed = t - readout.step
            v = self._machine.states[readout.population].v
            if self._period is None:
                if elapsed == 0:
                    rows[:] = v
            elif elapsed >= 0 and elapsed % self._period == 0:
                sample = elapsed // self._period
                rows[sample : sample + 1] = v

    def values(self) -> IntArray | None:
        """Return what was read, ``(samples, *shape)``; of several, packed."""
        if not self._readouts:
            return None
        shapes = self._machine.circuit.readout_shapes
        return pack([from_rows(*part) for part in zip(self._rows, shapes, strict=True)])


def counted_windows(circuit: Circuit, count: Collection[str] | None) -> dict[str, Window]:
    """Return the windows of the populations in ``count``."""
    for name in count or ():
        if name not in circuit.windows:
            known = ", ".join(sorted(circuit.windows))
            raise UnknownNameError(f"no population {name!r} has a window; known: {known}")
    return {n: window for n, window in circuit.windows.items() if count is None or n in count}


def _over_copies(
    rows: Counts | IntArray, shape: Shape, window: Window
) -> npt.NDArray[np.int32]:
    """Add up the copies of each unit, ``(samples, neurons)`` to ``(samples, *graph shape)``."""
    kind = np.result_type(rows, np.min_scalar_type(window.copies * window.length))
    sums = add_copies(rows.astype(kind, copy=False), window.copies)
    return from_rows(sums.astype(np.int32), (shape[0] // window.copies, *shape[1:]))


def traced(recorder: Recorder, over_all_steps: Activity) -> Trace:
    """Return what was recorded, with the activity of all steps."""
    return Trace(
        u=recorder.arrays("u"),
        v=recorder.arrays("v"),
        spikes=recorder.arrays(SPIKES),
        activity=over_all_steps,
    )


def sample_bytes(machine: Machine, record: Record) -> int:
    """Estimate the memory that one sample takes while it runs."""
    neurons = machine.neurons
    state = sum(_STATE_BYTES * neurons[name] for name in machine.states)
    kept = sum(4 * neurons[name] * len(what) for name, what in record.items())
    passing = _PASSING_BYTES * max(neurons.values())
    return state + passing + kept * machine.circuit.latency
