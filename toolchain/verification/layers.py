"""How far each population is from the activation it replaces, alone and with all before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.ir.counts import count, sweep
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.reference import Value, Windows, counts_of, output_of
from toolchain.ir.snn import Spiking
from toolchain.report import LayerReport
from toolchain.verification.chunks import chunks

Floats: TypeAlias = npt.NDArray[np.float64]

SAMPLES_MAX = 64


def report_layers(
    prepared: Graph, program: Program, x: npt.NDArray[Any]
) -> tuple[LayerReport, ...]:
    """Compare every population with its activation on at most `SAMPLES_MAX` samples.

    Args:
        prepared: The analogue network, whose activations have the names of the populations.
        program: The spiking network, whose populations are those of the circuit, too.
        x: ``(samples, *source_shape)``.
    """
    tallies = {node.name: _Tally(node) for node in program.graph.of_type(Spiking)}
    for _, chunk in chunks(program.graph, Samples(x[:SAMPLES_MAX])):
        _add(tallies, prepared, program.graph, chunk.x)
    return tuple(_report(program, tally) for tally in tallies.values())


def _add(
    tallies: Mapping[str, _Tally], prepared: Graph, graph: Graph, x: npt.NDArray[Any]
) -> None:
    """Compare populations on some samples."""
    activations = {
        node.name: _activation(value, tallies[node.name].node)
        for node, _, value in sweep(prepared, x, output_of)
        if node.name in tallies
    }
    alone: dict[str, Floats] = {}

    def ideal(node: Node, *inputs: Floats) -> Floats:
        """Compute a node, and go on with what a population stands for."""
        value = count(node, *inputs)
        if not isinstance(node, Spiking):
            return value
        alone[node.name] = value
        return activations.pop(node.name) / node.unit

    for (node, _, counts), (_, _, wanted) in zip(
        sweep(graph, x), sweep(graph, x, ideal), strict=True
    ):
        if isinstance(node, Spiking):
            units = np.asarray(wanted, np.float64) * node.unit
            tallies[node.name].add(counts, alone.pop(node.name), units)


@dataclass
class _Tally:
    """Sums over samples that become the report of a population.

    Attributes:
        node: The population.
        values: Counts compared.
        wanted: Squares of what it stands for, added up.
        isolated: Squares of the errors on ideal inputs.
        cumulative: Likewise, with all errors before it.
        spikes: Sent in all.
        saturated: Counts at the highest level.
        largest: Largest count of each neuron.
    """

    node: Spiking
    values: int = 0
    wanted: float = 0.0
    isolated: float = 0.0
    cumulative: float = 0.0
    spikes: float = 0.0
    saturated: int = 0
    largest: Floats = field(default_factory=lambda: np.zeros(()))

    def add(self, counts: Floats, alone: Floats, wanted: Floats) -> None:
        """Add some samples."""
        unit = self.node.unit
        self.values += counts.size
        self.wanted += float(np.square(wanted).sum())
        self.isolated += float(np.square(alone * unit - wanted).sum())
        self.cumulative += float(np.square(counts * unit - wanted).sum())
        self.spikes += float(counts.sum())
        self.saturated += int((counts == self.node.levels).sum())
        self.largest = np.maximum(self.largest, counts.max(axis=0))

    def relative(self, squares: float) -> float:
        """Return the root of squares that were added up, relative to what was wanted."""
        return math.sqrt(squares / self.wanted) if self.wanted else 0.0


def _activation(value: Value, node: Spiking) -> Floats:
    """Return what a population stands for; the total where windows have been merged."""
    if isinstance(value, Windows) and node.windows == 1:
        return np.asarray(value.values.sum(axis=1))
    return counts_of(value)


def _report(program: Program, tally: _Tally) -> LayerReport:
    node = tally.node
    return LayerReport(
        name=node.name,
        shape=program.graph.shapes[node.name],
        neurons=int(np.prod(program.circuit.nodes[node.name].shape)),
        bound=node.bound,
        weight_bits=_weight_bits(program.graph, node),
        isolated_error=tally.relative(tally.isolated),
        cumulative_error=tally.relative(tally.cumulative),
        silent=float((tally.largest == 0).mean()),
        saturated=tally.saturated / tally.values,
        firing_rate=tally.spikes / tally.values / node.levels,
    )


def _weight_bits(graph: Graph, node: Node) -> int:
    layers = graph.layers_into(node)
    weights = [np.abs(layer.weight).ravel() for layer in layers]
    if not weights:
        return 0
    factors = int(np.bitwise_or.reduce(np.concatenate(weights)))
    shared = (factors & -factors).bit_length() - 1 if factors else 0
    return int(max(weight.max() for weight in weights)).bit_length() - shared + 1
