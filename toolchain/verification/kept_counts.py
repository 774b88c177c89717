"""Whether populations keep their counts where a stage promises it, each judged by itself.

The neurons of a quantized model count the steps of its quantizers. Two things may differ. A sum
that lies exactly between two steps is rounded to the even one by ONNX and up by neurons: a
*tie*. And thresholds that had to be rounded to integers give some sums next to one a level
more or less. Either changes what comes after it, so every population is judged on what the
stage above sends before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Output
from toolchain.ir.counts import count, sweep
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.packing import pack
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking
from toolchain.verification.ties import Forced

Bools: TypeAlias = npt.NDArray[np.bool_]
Counts: TypeAlias = Mapping[str, npt.NDArray[Any]]
Rule: TypeAlias = Callable[[Spiking, Floats, Floats], Bools]
"""Tells which counts may differ, by the input currents and the differences."""

TOLERANCE = 1e-9
"""Of what real numbers compute in another order, relative to the largest."""

_STEP = 1e-4


def level_error(before: Graph, after: Graph) -> float:
    """Return how far quantization has moved a level of any neuron, in levels, at most.

    Args:
        before: Lowered.
        after: Quantized.

    Returns:
        0 if all counts and outputs are as before; infinity if that cannot be said.
    """
    if not (_is_multiple(before, after) and after.of_type(Spiking)):
        return np.inf
    return max(node.level_error for node in after.of_type(Spiking))


def _is_multiple(before: Graph, after: Graph) -> bool:
    """Tell whether the last layers have kept their weights, but for the scale of each row."""
    return all(map(functools.partial(_keeps, before, after), before.outputs, after.outputs))


def _keeps(before: Graph, after: Graph, old_output: Output, new_output: Output) -> bool:
    scale = np.asarray(new_output.scale, np.float64) / old_output.scale
    for old, new in zip(
        before.layers_into(old_output), after.layers_into(new_output), strict=True
    ):
        rows = (-1, *(1 for _ in new.weight.shape[1:]))
        step = np.broadcast_to(scale.ravel(), len(new.weight)).reshape(rows)
        if np.abs(old.weight / step - new.weight).max() > _STEP:
            return False
    return True


def is_tie(neurons: Spiking, current: Floats, difference: Floats) -> Bools:
    """Tell which sums lie exactly between two steps."""
    m = (current + neurons.initial) / neurons.threshold
    return (np.abs(m - np.rint(m)) <= TOLERANCE * np.maximum(1, np.abs(m))) & (difference <= 1)


def is_one_level(neurons: Spiking, current: Floats, difference: Floats) -> Bools:
    """Tell which counts differ by no more than a level."""
    return difference <= 1


def force_counts(
    graph: Graph,
    x: npt.NDArray[np.generic],
    sent: Counts,
    may_differ: Rule,
    first_sample: int = 0,
) -> Forced:
    """Run a network whose neurons send what those above send, and compare what they would.

    Args:
        graph: Converted or later.
        x: ``(samples, *source_shape)``.
        sent: By name of the population, ``(samples, *shape)``.
        may_differ: Which differences are in order; they are counted as ties.
        first_sample: Number of the first sample, for the message.
    """
    found: list[tuple[int, int, str | None]] = []

    def run(node: Node, *inputs: Floats) -> Floats:
        ours = count(node, *inputs)
        if not isinstance(node, Spiking) or node.name not in sent:
            return ours
        theirs = np.asarray(sent[node.name], np.float64)
        differs = ours != theirs
        allowed = may_differ(node, inputs[0], np.abs(ours - theirs))
        difference = None
        if (differs & ~allowed).any():
            difference = _first(node, ours, theirs, differs & ~allowed, first_sample)
        found.append((theirs.size, int(differs.sum()), difference))
        return theirs

    outputs = [y for node, _, y in sweep(graph, x, run) if isinstance(node, Output)]
    return Forced(
        pack(outputs),
        sum(size for size, _, _ in found),
        sum(ties for _, ties, _ in found),
        next((difference for *_, difference in found if difference is not None), None),
    )


def _first(
    node: Spiking, ours: Floats, theirs: Floats, differs: Bools, first_sample: int
) -> str:
    where = np.unravel_index(int(differs.argmax()), differs.shape)
    sample, *neuron = (int(i) for i in where)
    return (
        f"population {node.name!r}, neuron {tuple(neuron)}, sample {first_sample + sample}: "
        f"{ours[where]:.0f} spikes against {theirs[where]:.0f}"
    )


@dataclass
class LevelTally:
    """Counts that differ from those above, and the most that came of them.

    Attributes:
        counts: Spike counts compared.
        off: Those that differ by themselves.
        off_in_the_end: Those that differ with all that differs before them.
        most: Levels that one of these is off.
    """

    counts: int = 0
    off: int = 0
    off_in_the_end: int = 0
    most: int = 0

    def add(self, forced: Forced, counts: Counts, above: Counts) -> None:
        """Add some samples."""
        self.counts += forced.counts
        self.off += forced.ties
        for name in counts:
            if name in above:
                off = np.abs(counts[name] - above[name])
                self.off_in_the_end += int((off > 0).sum())
                self.most = max(self.most, int(off.max(initial=0)))

    @property
    def sentence(self) -> str:
        """What to tell about them."""
        return (
            f"{self.off} of {self.counts} spike counts are a level off by themselves, "
            f"{self.off_in_the_end} with all before them, by up to {self.most}"
        )
