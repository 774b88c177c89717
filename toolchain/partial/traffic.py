"""What goes between host and chip for each sample, in values, bits and bytes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from toolchain.bounds import input_range, proved_sums, summed
from toolchain.engine import Program
from toolchain.ir.ann import Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.node import Shape
from toolchain.partial.findings import Crossing, Direction
from toolchain.partial.ladder import Errors


def crossings_of(
    segment: str, program: Program, errors: Mapping[str, Errors]
) -> tuple[Crossing, ...]:
    """Return what a compiled segment is sent and what it sends back.

    Args:
        segment: Its name.
        program: What it was compiled to.
        errors: Of what it sends back, by value.
    """
    graph = program.graph
    there = [
        _crossing(segment, "to chip", node.tensor, node.source_shape, _payload_bits(node))
        for node in graph.inputs
    ]
    back = [
        dataclasses.replace(
            _crossing(
                segment,
                "to host",
                node.tensor,
                graph.shapes[node.inputs[0]],
                readout_bits(graph, node),
            ),
            isolated_error=errors[node.tensor].isolated.relative,
            cumulative_error=errors[node.tensor].cumulative.relative,
        )
        for node in graph.outputs
    ]
    return (*there, *back)


def _payload_bits(entry: Input) -> int:
    return 0 if entry.encoding is None else entry.encoding.message_bits


def readout_bits(graph: Graph, output: Output) -> int:
    """Return the bits of every sum that the host can read: a spike count, or a wide one."""
    layers = graph.layers_into(output)
    low, high = summed([proved_sums(layer, *input_range(graph, layer)) for layer in layers])
    most = int(max(high.max(), low.max()))
    return most.bit_length() + bool(low.max() > 0)


def _crossing(
    segment: str, direction: Direction, tensor: str, shape: Shape, bits: int
) -> Crossing:
    values = math.prod(shape)
    return Crossing(
        segment=segment,
        direction=direction,
        tensor=tensor,
        shape=tuple(shape),
        values=values,
        bits=bits,
        bytes_per_sample=-(-values * bits // 8),
    )
