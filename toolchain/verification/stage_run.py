"""A stage of the compiler run by the reference: its outputs, and the counts that are compared.

Most of a lowered network is the converted one: the very layers, between neurons that spike in
another way. Where such a layer reads the very numbers that it read in the stage above, it is
not run again: the same function of the same numbers is the same. What it reads is compared
number by number, and behind the first difference everything is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.lifetimes import last_readers
from toolchain.ir.node import Node
from toolchain.ir.reference import Value, answers_of, counts_of, output_of
from toolchain.ir.snn import Spiking
from toolchain.ir.staircase import Staircase

Floats: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = Mapping[str, npt.NDArray[Any]]

_SENDERS = (Spiking, MaxPool, Rearrange)
_NOTHING = np.zeros(0)


@dataclass(frozen=True, eq=False)
class StageRun:
    """What a stage gives for some samples.

    Attributes:
        y: Outputs, ``(samples, *shape)``.
        counts: Of populations and quantizers, ``(samples, *shape)`` by name.
        read: What outputs are made of, by their names.
        layers: Those that the stage below has, too, by name.
        sums: What they give.
        sent: What is sent between layers, where the stage below has any of them.
    """

    y: Floats
    counts: Counts
    read: Mapping[str, Floats]
    layers: Mapping[str, Node] = field(default_factory=dict)
    sums: Mapping[str, Value] = field(default_factory=dict)
    sent: Counts = field(default_factory=dict)


def run_stage(
    graph: Graph,
    x: npt.NDArray[np.generic],
    *,
    above: StageRun | None = None,
    below: Graph | None = None,
) -> StageRun:
    """Run a stage.

    Args:
        graph: At any phase.
        x: ``(samples, *source_shape)``.
        above: What the stage above gives for these samples.
        below: The stage that will be run below.
    """
    values: dict[str, Value] = {}
    counts: dict[str, npt.NDArray[Any]] = {}
    sent: dict[str, npt.NDArray[Any]] = {}
    sums: dict[str, Value] = {}
    layers = {} if below is None else _shared(graph, below)
    alike: set[str] = set()
    last = last_readers(graph)
    kept = {name for node in graph.outputs for name in (node.name, *node.inputs)}
    for node in graph:
        name = node.name
        if (
            above is not None
            and above.layers.get(name) is node
            and alike.issuperset(node.inputs)
        ):
            values[name] = above.sums[name]
            alike.add(name)
        else:
            inputs = [values[source] for source in node.inputs]
            values[name] = output_of(node, *(inputs or [np.asarray(x, np.float64)]))
        if isinstance(node, (Spiking, Staircase)):
            counts[name] = _narrow(node, counts_of(values[name]))
        if name in layers:
            sums[name] = values[name]
        elif isinstance(node, _SENDERS):
            found = counts[name] if name in counts else counts_of(values[name])
            if layers:
                sent[name] = found
            if above is not None and np.array_equal(found, above.sent.get(name, _NOTHING)):
                alike.add(name)
        for done in last[name]:
            if done not in kept:
                del values[done]
    read = {node.name: counts_of(values[node.inputs[0]]) for node in graph.outputs}
    return StageRun(answers_of(graph, values), counts, read, layers, sums, sent)


def _shared(graph: Graph, below: Graph) -> dict[str, Node]:
    """Return the layers, and the input, that two stages have both."""
    return {
        node.name: node
        for node in graph
        if isinstance(node, (Input, Dense, Conv, Add))
        and node.name in below
        and below[node.name] is node
    }


def _narrow(node: Spiking | Staircase, counts: Floats) -> npt.NDArray[Any]:
    """Return counts in the narrowest type that holds their differences, too."""
    if not isinstance(node, Spiking):
        return counts
    return counts.astype(np.min_scalar_type(-2 * node.levels))
