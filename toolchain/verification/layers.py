"""How far each population is from the activation it replaces, alone and with all before it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.engine import Program
from toolchain.ir.counts import count, sweep
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.reference import Value, Windows, counts_of, evaluate
from toolchain.ir.snn import Spiking
from toolchain.report import LayerReport

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
    x = x[:SAMPLES_MAX]
    values = evaluate(prepared, x)
    alone: dict[str, Floats] = {}

    def ideal(node: Node, *inputs: Floats) -> Floats:
        """Compute a node, and go on with what a population stands for."""
        value = count(node, *inputs)
        if not isinstance(node, Spiking):
            return value
        alone[node.name] = value
        return _activation(values[node.name], node) / node.unit

    graph, reports = program.graph, []
    for (node, _, counts), (_, _, wanted) in zip(
        sweep(graph, x), sweep(graph, x, ideal), strict=True
    ):
        if isinstance(node, Spiking):
            reports.append(
                _report(program, node, counts, alone.pop(node.name), wanted * node.unit)
            )
    return tuple(reports)


def _activation(value: Value, node: Spiking) -> Floats:
    """Return what a population stands for; the total where windows have been merged."""
    if isinstance(value, Windows) and node.windows == 1:
        return np.asarray(value.values.sum(axis=1))
    return counts_of(value)


def _report(
    program: Program, node: Spiking, counts: Floats, alone: Floats, wanted: Floats
) -> LayerReport:
    return LayerReport(
        name=node.name,
        shape=program.graph.shapes[node.name],
        neurons=int(np.prod(program.circuit.nodes[node.name].shape)),
        bound=node.bound,
        weight_bits=_weight_bits(program.graph, node),
        isolated_error=_relative_error(alone * node.unit, wanted),
        cumulative_error=_relative_error(counts * node.unit, wanted),
        silent=float((counts.max(axis=0) == 0).mean()),
        saturated=float((counts == node.levels).mean()),
        firing_rate=float(counts.mean() / node.levels),
    )


def _weight_bits(graph: Graph, node: Node) -> int:
    layers = graph.layers_into(node)
    weights = [np.abs(layer.weight).ravel() for layer in layers]
    if not weights:
        return 0
    factors = int(np.bitwise_or.reduce(np.concatenate(weights)))
    shared = (factors & -factors).bit_length() - 1 if factors else 0
    return int(max(weight.max() for weight in weights)).bit_length() - shared + 1


def _relative_error(found: Floats, wanted: Floats) -> float:
    scale = float(np.sqrt(np.square(wanted).mean()))
    return float(np.sqrt(np.square(found - wanted).mean())) / scale if scale else 0.0
