"""Which nodes of a model compute something from the sample, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import onnx

from toolchain.errors import CompileError, ImportModelError, UnsupportedOpError

SHAPE_OPERATORS = ("Shape", "Size")
_ON_HOST = (
    "ArgMax", "Cast", "DequantizeLinear", "Dropout", "Erf", "Flatten", "Identity",
    "LogSoftmax", "QuantizeLinear", "Reshape", "Sigmoid", "Softmax", "Softplus", "Softsign",
    "Squeeze", "Tanh", "Unsqueeze",
)  # fmt: skip
"""What the host computes, or hands on, at the end of a network."""


def dependent_nodes(
    graph: onnx.GraphProto, samples: Iterable[str]
) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes that depend on the sample's values, in the order they run.

    Shapes are fixed, so what is computed from them alone does not depend on the sample. Of some
    nodes that do, only the shape is read: `measured_nodes`.

    Args:
        graph: Nodes in the order they run, with unique names.
        samples: Names of the inputs that carry the sample.
    """
    computed = set(samples)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in SHAPE_OPERATORS or computed.isdisjoint(node.input):
            continue
        computed.update(name for name in node.output if name)
        nodes.append(node)
    return tuple(nodes)


def measured_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> frozenset[str]:
    """Return the names of the nodes of which nothing but the shape is read in the end.

    Args:
        graph: The model's.
        nodes: Those that depend on the sample, in the order they run.
    """
    shaped = {n for node in graph.node if node.op_type in SHAPE_OPERATORS for n in node.input}
    computed = {value.name for value in graph.output}
    measured: set[str] = set()
    for node in reversed(nodes):
        if computed.isdisjoint(node.output) and not shaped.isdisjoint(node.output):
            measured.add(node.name)
            shaped.update(filter(None, node.input))
        else:
            computed.update(filter(None, node.input))
    return frozenset(measured)


def ends_of(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> Iterator[CompileError]:
    """Yield what is wrong with where the network ends: outputs, and what nothing reads.

    Args:
        graph: The model's.
        nodes: Those that depend on the sample, without those of which only the shape is read.
    """
    readers = count_readers(graph, nodes)
    for node in nodes:
        if not any(readers[name] for name in node.output if name):
            outputs = ", ".join(map(repr, node.output)) or "nothing"
            yield _refusal(
                node,
                f"computes {outputs}, which nothing reads",
                "remove the node, with onnx.utils.extract_model for instance",
            )
    computed = {name for node in nodes for name in node.output}
    given = {value.name for value in graph.input}
    names = [output.name for output in graph.output]
    for index, output in enumerate(graph.output):
        if output.name in names[:index]:
            yield UnsupportedOpError(
                "is listed twice among the outputs",
                node=output.name,
                hint="list it once",
            )
        if output.name in given:
            yield UnsupportedOpError(
                "is an output that is an input, too; nothing is computed",
                node=output.name,
                hint="remove the output, with onnx.utils.extract_model for instance",
            )
        elif output.name not in computed:
            yield ImportModelError("does not depend on the network's input", node=output.name)


def starts_of(
    samples: Sequence[str], nodes: Sequence[onnx.NodeProto]
) -> Iterator[CompileError]:
    """Yield what is wrong with where the network starts: inputs that nothing reads.

    Args:
        samples: Names of the inputs that carry the sample.
        nodes: Those that depend on them.
    """
    read = {name for node in nodes for name in node.input}
    for sample in samples:
        if sample not in read and len(samples) > 1:
            yield UnsupportedOpError(
                f"is one of {len(samples)} inputs, and nothing is computed from it",
                node=sample,
                hint="remove the input, with onnx.utils.extract_model for instance",
            )


def nodes_at_end(nodes: Sequence[onnx.NodeProto]) -> frozenset[str]:
    """Return the names of the nodes behind which there is only what the host can compute.

    Args:
        nodes: Those that depend on the sample, in the order they run.
    """
    inside: set[str] = set()
    at_end: set[str] = set()
    for node in reversed(nodes):
        if inside.isdisjoint(node.output):
            at_end.add(node.name)
        if node.name not in at_end or node.op_type not in _ON_HOST:
            inside.update(node.input)
    return frozenset(at_end)


def count_readers(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> Counter[str]:
    """Return how often each value is read, by nodes or as an output of the network."""
    readers = Counter(name for node in nodes for name in node.input if name)
    readers.update(value.name for value in graph.output)
    return readers


def _refusal(node: onnx.NodeProto, problem: str, hint: str) -> UnsupportedOpError:
    return UnsupportedOpError(f"{node.op_type} {problem}", node=node.name, hint=hint)
