"""Step mode: a circuit run step by step, bit for bit as Lava's fixed-point models run it.

Every population, every time step, every register. `simulate` takes what the sources send and
gives the registers; `run_samples` takes samples and gives outputs, spike counts and costs, each
sample from rest and beside the others; `run_stream` runs the samples one after the other in one
circuit, as the chip does. Where the circuit's timetable is right, the last two agree.

The contract: within the ranges that ``targets.simulator._contract`` checks, ``u``, ``v`` and
spikes equal those of ``lava-nc`` 0.10 (``lava.proc.lif``, ``dense``, ``sparse``, ``conv``,
``sdn`` with ``select_tag="fixed_pt"``) at every step, including

- ``u`` wraps by one turn only and may stay outside of its register (`fixedpoint.wrap24`);
- a negative weight exponent shifts the sum of each delay by itself, rounding down;
- the sum of a convolution wraps in two's complement, all others grow to 32 bits.

A bias mantissa of more than 16 bits, a convolution geometry beyond 127, a payload wider than
its source's messages, weights that Lava would clip or truncate, and sums of more than 32 bits
are outside of it and raise `RangeError`.

Source: ``lava.proc.lif.models``, ``lava.proc.dense.models``, ``lava.proc.sparse.models``,
``lava.proc.conv.models`` and ``lava.proc.sdn.models`` 0.10; the equations are those of
``toolchain.ir.mapped``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy.typing as npt

from targets.simulator._machine import Machine
from targets.simulator._recorder import Record, Recorder, check_record, recordable
from targets.simulator._results import Activity, SampleResult, Trace, joined
from targets.simulator._samples import counted_windows, run, sample_bytes, traced
from targets.simulator._schedule import GivenSchedule
from targets.simulator._tally import Spikes, Tally, activity
from toolchain.ir.mapped import Circuit

__all__ = [
    "Activity",
    "SampleResult",
    "Trace",
    "everything",
    "run_samples",
    "run_stream",
    "simulate",
]

MEMORY_BYTES = 1 << 25
"""Samples run side by side as far as their state fits into this; more leave the caches."""


def everything(circuit: Circuit) -> dict[str, tuple[str, ...]]:
    """Return the ``record`` that asks for all registers and spikes of all populations."""
    return {population.name: recordable(population) for population in circuit.populations}


def simulate(
    circuit: Circuit,
    inputs: Mapping[str, npt.NDArray[Any]],
    time_steps: int,
    *,
    record: Record | None = None,
    first_step: int = 0,
) -> Trace:
    """Run ``circuit`` from rest.

    A source that is injected into bias registers is written to them in every step it is given
    here, and only at a sample's first step by `run_samples` and `run_stream`.

    Args:
        circuit: What to run; its timetable plays no part.
        inputs: What sources send, ``(batch, time_steps, *shape)`` integers by source. A source
            that is left out sends its `Source.events`, once.
        time_steps: Length of the run, >= 1.
        record: Registers (``"u"``, ``"v"``, ``"spikes"``) to keep, by population; none by
            default.
        first_step: Time of the first step, which decides over periodic resets.

    Raises:
        InputDataError: An array has the wrong shape or type.
        RangeError: A number is outside the contract above.
        UnknownNameError: ``record`` asks for what does not exist.
        VerifyError: The circuit's names or shapes do not fit together.
    """
    check_record(circuit, record or {})
    machine = Machine(circuit)
    schedule = GivenSchedule(circuit, inputs, time_steps)
    machine.start(schedule.batch)
    recorder = Recorder(machine, record or {}, schedule.batch, time_steps)
    tally = Tally(machine, schedule.batch, time_steps)
    for t in range(time_steps):
        machine.step(first_step + t, *schedule.at(t))
        recorder.add(t)
        tally.add(t)
    spikes: dict[str, Spikes] = {**schedule.sent(), **tally.inside}
    return traced(recorder, activity(machine, spikes, *tally.overflows()))


def run_samples(
    circuit: Circuit,
    x: npt.NDArray[Any],
    *,
    record: Record | None = None,
    count: Collection[str] | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> SampleResult:
    """Run every sample by itself, from rest, for the circuit's latency.

    Args:
        circuit: With a timetable.
        x: Encoded samples ``(samples, *input shape)``, integers, at least one.
        record: Registers to keep, by population; none by default.
        count: Populations whose spike counts to return, of those with a window; all by default.
        memory_bytes: Samples run side by side as far as their state fits into this.

    Raises:
        InputDataError: ``x`` has the wrong shape or type.
        RangeError: A number is outside the contract above.
        UnknownNameError: ``record`` or ``count`` asks for what does not exist.
        VerifyError: The circuit's names or shapes do not fit together.
    """
    check_record(circuit, record or {})
    machine = Machine(circuit)
    chunk = max(1, memory_bytes // sample_bytes(machine, record or {}))
    runs = [
        run(
            machine,
            x[start : start + chunk],
            None,
            record or {},
            counted_windows(circuit, count),
        )
        for start in range(0, max(len(x), 1), chunk)
    ]
    return runs[0] if len(runs) == 1 else joined(runs)


def run_stream(
    circuit: Circuit, x: npt.NDArray[Any], *, record: Record | None = None
) -> SampleResult:
    """Run the samples one after the other, a new one every `Circuit.period` steps.

    Slow, and meant for comparison with simulators and chips that know nothing else.

    Args:
        circuit: With a timetable.
        x: Encoded samples ``(samples, *input shape)``, integers, at least one.
        record: Registers to keep, by population; none by default.

    Raises:
        InputDataError: ``x`` has the wrong shape or type.
        RangeError: A number is outside the contract above.
        UnknownNameError: ``record`` asks for what does not exist.
        VerifyError: The circuit's names or shapes do not fit together.
    """
    check_record(circuit, record or {})
    return run(
        Machine(circuit), x, circuit.period, record or {}, counted_windows(circuit, None)
    )
