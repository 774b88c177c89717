r"""Whether neurons that the source model has send its spikes, ties apart.

A neuron counts by a staircase. Where its potential is a rounding error away from a multiple of
the threshold, float32 (onnxruntime) and float64 (the reference) may end on different steps, and
all that comes after differs by whole spikes. No bound on the error of the outputs holds then,
and a wide one would hide real mistakes. So every population is judged by itself, on what the
*source* has sent before it, its own earlier windows included:

.. math::
    v(t-1) = m(t-1) - n_{source}(t-1) \, \theta

and :math:`n_{source}(t)` must be the count of a potential that is at most the tolerance away
from :math:`m(t)`. Where it is not the count of :math:`m(t)` itself, that is a *tie*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.graph import Graph
from toolchain.ir.reference import Value, Windows, evaluate, mixed_currents
from toolchain.ir.snn import LmHt
from toolchain.verification.quantizers import first_step, judgements, outputs
from toolchain.verification.stage_run import run_stage

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forced:
    """A network, each of whose populations has read what the source sends.

    Attributes:
        y: Outputs, ``(samples, *shape)``.
        counts: Spike counts compared.
        ties: Counts that differ from the source's by a rounding error.
        difference: Where a count differs by more; `None` if none does.
    """

    y: Floats
    counts: int
    ties: int
    difference: str | None


@dataclass
class TieTally:
    """What ties have been found so far, and what came of them.

    Attributes:
        cause: Of the ties, for the sentence.
        counts: Spike counts compared.
        ties: Those that are ties.
        samples: Samples run.
        samples_off: Those whose outputs are off by more than the tolerance in the end.
        max_abs_error: Largest error of an output in the end.
    """

    cause: str = "by rounding errors"
    counts: int = 0
    ties: int = 0
    samples: int = 0
    samples_off: int = 0
    max_abs_error: float = 0.0

    def add(self, forced: Forced, y: Floats, source: Floats, tolerance: float) -> None:
        """Add some samples.

        Args:
            forced: What `force` has found.
            y: Outputs of the network on its own spikes, ``(samples, *shape)``.
            source: Outputs of the source.
            tolerance: Of an output, as a share of the largest.
        """
        errors = np.abs(y - source).reshape(len(y), -1).max(axis=1)
        self.counts += forced.counts
        self.ties += forced.ties
        self.samples += len(y)
        self.samples_off += int((errors > tolerance * np.abs(source).max()).sum())
        self.max_abs_error = max(self.max_abs_error, float(errors.max()))

    @property
    def sentence(self) -> str:
        """What to tell about ties, empty if there are none."""
        if not self.ties:
            return ""
        found = f"{self.ties} of {self.counts} spike counts are ties, {self.cause}"
        if not self.samples_off:
            return f"{found}; no output depends on one"
        return (
            f"{found}; {self.samples_off} of {self.samples} samples have outputs that depend "
            f"on one, by up to {self.max_abs_error:.3g}"
        )


def force(
    graph: Graph,
    x: npt.NDArray[np.generic],
    sent: Mapping[str, Value],
    tolerance: float,
    first_sample: int = 0,
) -> Forced:
    """Run a network whose neurons send what the source sends, and compare what they would.

    Args:
        graph: Before its windows are unrolled.
        x: ``(samples, *source_shape)``.
        sent: What the source sends, by name of the `LmHt` or quantizer.
        tolerance: Of a potential, as a share of the largest in its population, and at least of
            the threshold.
        first_sample: Number of the first sample, for the message.
    """
    if not sent:
        return Forced(run_stage(graph, x).y, 0, 0, None)
    values = evaluate(graph, x, sent)
    counts, ties, difference = 0, 0, None
    for node in graph.of_type(LmHt):
        windows = sent.get(node.name)
        if not isinstance(windows, Windows):
            continue
        theirs = np.rint(windows.values / node.threshold)
        potentials = _potentials(node, values[node.inputs[0]], theirs) / node.threshold
        slack = tolerance * max(1.0, float(np.abs(potentials).max()))
        ours = _steps(node, potentials)
        is_near = (_steps(node, potentials - slack) <= theirs) & (
            theirs <= _steps(node, potentials + slack)
        )
        counts += theirs.size
        ties += int(((ours != theirs) & is_near).sum())
        if difference is None and not is_near.all():
            difference = _difference(node, ours, theirs, ~is_near, first_sample)
    for judged in judgements(graph, x, values, sent, tolerance):
        counts += judged.theirs.size
        ties += int(((judged.ours != judged.theirs) & judged.is_near).sum())
        if difference is None and not judged.is_near.all():
            difference = first_step(judged, first_sample)
    return Forced(outputs(graph, values, sent), counts, ties, difference)


def _potentials(node: LmHt, current: Value, counts: Floats) -> Floats:
    """Return the potentials ``(samples, windows, *shape)`` before each window's spikes."""
    v = np.full(counts.shape[:1] + counts.shape[2:], node.initial)
    potentials = []
    for t, mixed in enumerate(mixed_currents(node, current)):
        m = node.retention * v + mixed
        v = m - node.threshold * counts[:, t]
        potentials.append(m)
    return np.stack(potentials, axis=1)


def _steps(node: LmHt, potentials: Floats) -> Floats:
    return np.clip(np.floor(potentials), 0, node.levels)


def _difference(
    node: LmHt,
    ours: Floats,
    theirs: Floats,
    differs: npt.NDArray[np.bool_],
    first_sample: int,
) -> str:
    where = tuple(int(i) for i in np.unravel_index(int(differs.argmax()), differs.shape))
    sample, window, *neuron = where
    return (
        f"population {node.name!r}, neuron {tuple(neuron)}, sample {first_sample + sample}, "
        f"window {window}: {ours[where]:.0f} spikes against {theirs[where]:.0f}"
    )
