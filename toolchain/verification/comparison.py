"""Where two runs of the same network first differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.mapped import Circuit
from toolchain.schedule import SEQUENTIAL, is_silent_at_rest, schedule_of

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


def first_count(ours: Arrays, theirs: Arrays, first_sample: int = 0) -> str | None:
    """Return where spike counts first differ, by layer, then sample, then neuron.

    Args:
        ours: ``(samples, *shape)`` by population, in the order of depth.
        theirs: The same populations, or fewer.
        first_sample: Number of the first sample, for the message.
    """
    for name in ours:
        if name in theirs:
            a, b = ours[name], theirs[name]
            where = _first(a, b)
            if where is not None:
                sample, *neuron = where
                return (
                    f"population {name!r}, neuron {tuple(neuron)}, sample "
                    f"{first_sample + sample}: {a[where]:.0f} spikes against {b[where]:.0f}"
                )
    return None


def first_spike(
    circuit: Circuit, ours: Arrays, theirs: Arrays, first_sample: int = 0
) -> str | None:
    """Return where single spikes first differ, by layer, sample, time step, then neuron.

    Where samples overlap, or biases make neurons spike, only the steps of a population's window
    belong to the sample; otherwise all steps are compared.

    Args:
        circuit: What was run.
        ours: ``(samples, latency, *shape)`` by population.
        theirs: The same populations.
        first_sample: Number of the first sample, for the message.
    """
    is_alone = schedule_of(circuit) == SEQUENTIAL and is_silent_at_rest(circuit)
    for name, window in circuit.windows.items():
        steps = slice(window.start, window.start + window.length)
        if is_alone:
            steps = slice(0, circuit.latency)
        a, b = ours[name][:, steps].astype(np.int64), theirs[name][:, steps].astype(np.int64)
        where = _first(a, b)
        if where is not None:
            sample, step, *neuron = where
            return (
                f"population {name!r}, neuron {tuple(neuron)}, sample "
                f"{first_sample + sample}, time step {steps.start + step}: {a[where]} against "
                f"{b[where]}"
            )
    return None


def first_output(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> str | None:
    """Return where the read-out integers ``(samples, *shape)`` first differ."""
    where = _first(ours, theirs)
    if where is None:
        return None
    sample, *output = where
    return f"output {tuple(output)}, sample {sample}: {ours[where]} against {theirs[where]}"


def _first(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[int, ...] | None:
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} cannot be compared")
    differs = a != b
    if not differs.any():
        return None
    return tuple(int(index) for index in np.unravel_index(int(differs.argmax()), a.shape))
