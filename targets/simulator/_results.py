"""What a run of the simulator gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.ir.mapped import IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """What a run cost and where registers overflowed, per sample.

    Attributes:
        spikes: Of every source and population: spikes, or payloads other than 0,
            ``(samples,)``.
        synaptic_operations: Of every synapse: each spike counts once for every weight other
            than 0 that it meets, ``(samples,)``.
        saturations: Of every population: how often a neuron's ``v`` was limited, or a payload
            exceeded its message bits, ``(samples,)``.
        wraps: Of every population and convolution: how often a neuron's ``u``, or the sum of a
            convolution, left 24 bits, ``(samples,)``.
    """

    spikes: Mapping[str, IntArray]
    synaptic_operations: Mapping[str, IntArray]
    saturations: Mapping[str, IntArray]
    wraps: Mapping[str, IntArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What was recorded of a run.

    Attributes:
        u: Synaptic currents ``(batch, time_steps, *shape)`` by population.
        v: Membrane potentials after the reset by a spike; the sum of a sigma-delta population.
        spikes: Spikes as booleans, payloads of sigma-delta populations as integers.
        activity: Over all steps, ``(batch,)``.
    """

    u: Mapping[str, npt.NDArray[np.int32]]
    v: Mapping[str, npt.NDArray[np.int32]]
    spikes: Mapping[str, npt.NDArray[np.bool_] | npt.NDArray[np.int32]]
    activity: Activity


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleResult:
    """What samples gave and cost.

    Attributes:
        readout: Register ``v`` of the readout ``(samples, *shape)``; `None` if the circuit has
            none.
        counts: Spike counts within the windows, summed over copies, ``(samples, *graph shape)``
            by population.
        activity: What belongs to each sample: of a population with a window the spikes in it,
            of any other all spikes of the run.
        trace: What was recorded; its `Trace.activity` has the spikes outside of windows, too.
            After `run_stream` its batch axis has length 1.
    """

    readout: IntArray | None
    counts: Mapping[str, npt.NDArray[np.int32]]
    activity: Activity
    trace: Trace


def joined(results: Sequence[SampleResult]) -> SampleResult:
    """Return the results of several runs as one, in the order given."""
    readouts = [result.readout for result in results if result.readout is not None]
    traces = [result.trace for result in results]
    return SampleResult(
        readout=np.concatenate(readouts) if readouts else None,
        counts=_joined_arrays([result.counts for result in results]),
        activity=_joined_activities([result.activity for result in results]),
        trace=Trace(
            u=_joined_arrays([trace.u for trace in traces]),
            v=_joined_arrays([trace.v for trace in traces]),
            spikes=_joined_arrays([trace.spikes for trace in traces]),
            activity=_joined_activities([trace.activity for trace in traces]),
        ),
    )


def summed(activity: Activity) -> Activity:
    """Return the activity of all samples together, in arrays of one element."""
    return Activity(
        **{
            field.name: {
                name: counts.sum(keepdims=True)
                for name, counts in getattr(activity, field.name).items()
            }
            for field in fields(Activity)
        }
    )


def _joined_activities(activities: Sequence[Activity]) -> Activity:
    return Activity(
        **{
            field.name: _joined_arrays([getattr(part, field.name) for part in activities])
            for field in fields(Activity)
        }
    )


def _joined_arrays(
    parts: Sequence[Mapping[str, npt.NDArray[Any]]],
) -> dict[str, npt.NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
