"""Which nodes of a model compute something from the sample, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from typing import NoReturn

import onnx

from toolchain.errors import UnsupportedOpError

SHAPE_OPERATORS = ("Shape", "Size")


def dependent_nodes(graph: onnx.GraphProto, sample: str) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes that depend on the sample's values, in the order they run.

    Shapes are fixed, so what is computed from them alone does not depend on the sample.

    Args:
        graph: Nodes in the order they run, with unique names.
        sample: Name of the input that carries the sample.

    Raises:
        UnsupportedOpError: The network has several outputs, or computes what it does not use;
            it names the node.
    """
    computed = {sample}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in SHAPE_OPERATORS or computed.isdisjoint(node.input):
            continue
        computed.update(name for name in node.output if name)
        nodes.append(node)
    _refuse_outputs(graph, nodes)
    _refuse_dead_ends(graph, nodes)
    return tuple(nodes)


def count_readers(graph: onnx.GraphProto, nodes: tuple[onnx.NodeProto, ...]) -> Counter[str]:
    """Return how often each value is read, by nodes or as the network's output."""
    readers = Counter(name for node in nodes for name in node.input if name)
    readers.update(value.name for value in graph.output)
    return readers


def _refuse_outputs(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    if len(graph.output) == 1:
        return
    second = graph.output[1].name
    for node in nodes:
        if second in node.output:
            _refuse(node, f"computes {second!r}, a second output of the network", _ONE_OUTPUT)
    raise UnsupportedOpError(
        f"the network has {len(graph.output)} outputs; one is supported",
        node=second,
        hint=_ONE_OUTPUT,
    )


_ONE_OUTPUT = "extract the part up to one output, with onnx.utils.extract_model for instance"


def _refuse_dead_ends(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    readers = count_readers(graph, tuple(nodes))
    for node in nodes:
        if not any(readers[name] for name in node.output if name):
            _refuse(
                node,
                f"computes {node.output[0]!r}, which nothing reads",
                "remove the node, with onnx.utils.extract_model for instance",
            )


def _refuse(node: onnx.NodeProto, problem: str, hint: str) -> NoReturn:
    raise UnsupportedOpError(f"{node.op_type} {problem}", node=node.name, hint=hint)
