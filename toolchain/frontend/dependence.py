"""Which nodes of a model compute something from the sample, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import onnx

from toolchain.errors import CompileError, ImportModelError, UnsupportedOpError

SHAPE_OPERATORS = ("Shape", "Size")


def dependent_nodes(graph: onnx.GraphProto, sample: str) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes that depend on the sample's values, in the order they run.

    Shapes are fixed, so what is computed from them alone does not depend on the sample.

    Args:
        graph: Nodes in the order they run, with unique names.
        sample: Name of the input that carries the sample.
    """
    computed = {sample}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in SHAPE_OPERATORS or computed.isdisjoint(node.input):
            continue
        computed.update(name for name in node.output if name)
        nodes.append(node)
    return tuple(nodes)


def ends_of(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> Iterator[CompileError]:
    """Yield what is wrong with where the network ends: outputs, and what nothing reads.

    Args:
        graph: The model's.
        nodes: Those that depend on the sample.
    """
    if len(graph.output) > 1:
        yield _second_output(graph, nodes)
    readers = count_readers(graph, nodes)
    for node in nodes:
        if not any(readers[name] for name in node.output if name):
            outputs = ", ".join(map(repr, node.output)) or "nothing"
            yield _refusal(
                node,
                f"computes {outputs}, which nothing reads",
                "remove the node, with onnx.utils.extract_model for instance",
            )
    if not any(graph.output[0].name in node.output for node in nodes):
        yield ImportModelError(
            "does not depend on the network's input", node=graph.output[0].name
        )


def count_readers(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> Counter[str]:
    """Return how often each value is read, by nodes or as the network's output."""
    readers = Counter(name for node in nodes for name in node.input if name)
    readers.update(value.name for value in graph.output)
    return readers


def _second_output(
    graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]
) -> UnsupportedOpError:
    second = graph.output[1].name
    for node in nodes:
        if second in node.output:
            return _refusal(
                node, f"computes {second!r}, a second output of the network", _ONE_OUTPUT
            )
    return UnsupportedOpError(
        f"the network has {len(graph.output)} outputs; one is supported",
        node=second,
        hint=_ONE_OUTPUT,
    )


_ONE_OUTPUT = "extract the part up to one output, with onnx.utils.extract_model for instance"


def _refusal(node: onnx.NodeProto, problem: str, hint: str) -> UnsupportedOpError:
    return UnsupportedOpError(f"{node.op_type} {problem}", node=node.name, hint=hint)
