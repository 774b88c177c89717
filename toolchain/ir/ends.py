"""Samples and answers of a network with any number of inputs and outputs, as one array each.

With one input a sample has that input's shape, and with one output an answer has that output's.
Several are flattened and put one after the other, so that whatever carries samples and answers
about needs to know nothing of them.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from toolchain.errors import VerifyError
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.ir.node import Shape
from toolchain.ir.packing import pack, packed_shape, unpack
from toolchain.ir.reference import Floats, decode, encode

Array = npt.NDArray[Any]
Scalar = TypeVar("Scalar", bound=np.generic)


def sample_shape(graph: Graph) -> Shape:
    """Return the shape of a sample; where samples have windows, their axis is first."""
    windows = (graph.inputs[0].windows,) if graph.inputs[0].windows > 1 else ()
    return (*windows, *packed_shape([node.source_shape for node in graph.inputs]))


def input_parts(graph: Graph) -> dict[str, Shape]:
    """Return the inputs of which a sample consists, by name; empty for a single one."""
    if len(graph.inputs) == 1:
        return {}
    return {node.tensor or node.name: node.source_shape for node in graph.inputs}


def output_parts(graph: Graph) -> dict[str, Shape]:
    """Return the outputs of which an answer consists, by name; empty for a single one."""
    if len(graph.outputs) == 1:
        return {}
    return {node.tensor or node.name: graph.shapes[node.name] for node in graph.outputs}


def encoded_shape(graph: Graph) -> Shape:
    """Return the shape of an encoded sample, which enters the network."""
    return packed_shape([node.shape for node in graph.inputs])


def encode_samples(graph: Graph, x: Array) -> npt.NDArray[np.int64]:
    """Return the integers ``(samples, *encoded shape)`` that stand for samples."""
    return pack([encode(node, x).astype(np.int64) for node in graph.inputs])


def encoded_inputs(
    graph: Graph, encoded: npt.NDArray[Scalar]
) -> dict[str, npt.NDArray[Scalar]]:
    """Return what enters at each input, ``(samples, *shape)`` by its name."""
    parts = unpack(encoded, [node.shape for node in graph.inputs])
    return {node.name: part for node, part in zip(graph.inputs, parts, strict=True)}


def decode_sums(graph: Graph, sums: Array) -> Floats:
    """Return the answers ``(samples, *answer shape)`` for what leaves the network.

    Args:
        graph: Quantized.
        sums: ``(samples, *shape)`` of what the output reads; of several, packed.
    """
    shapes = [graph.shapes[node.inputs[0]] for node in graph.outputs]
    parts = unpack(sums.astype(np.float64), shapes)
    return pack([decode(node, part) for node, part in zip(graph.outputs, parts, strict=True)])


def require_same_ends(graph: Graph, circuit: Circuit) -> None:
    """Refuse a circuit that takes or gives other numbers than its graph.

    Args:
        graph: Quantized.
        circuit: What it was mapped to, by whoever has written it.

    Raises:
        VerifyError: It does.
    """
    for name in (*circuit.inputs, *(readout.population for readout in circuit.readouts)):
        if name not in circuit.nodes:
            raise VerifyError("is an end of the circuit and none of its nodes", node=name)
    enters = [math.prod(node.shape) for node in graph.inputs]
    leaves = [math.prod(graph.shapes[node.inputs[0]]) for node in graph.outputs]
    for does, shapes, needed in (
        ("takes", circuit.input_shapes, enters),
        ("gives", circuit.readout_shapes, leaves),
    ):
        found = [math.prod(shape) for shape in shapes]
        if found != needed:
            raise VerifyError(
                f"the circuit {does} {found} numbers; {needed} are those of the graph",
                node=circuit.name,
                hint="compile the network again",
            )
