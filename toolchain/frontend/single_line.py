"""What can be imported: one line of nodes from one input to one output."""

from __future__ import annotations

from typing import NoReturn

import onnx

from toolchain.errors import UnsupportedOpError

SHAPE_OPERATORS = ("Shape", "Size")
_HINT = "branching networks are not supported yet"


def line_of_nodes(graph: onnx.GraphProto, sample: str) -> tuple[onnx.NodeProto, ...]:
    """Return the nodes that depend on the sample's values, each reading the one before.

    Shapes are fixed, so what is computed from them alone does not depend on the sample.

    Args:
        graph: Nodes in the order they run, with unique names.
        sample: Name of the input that carries the sample.

    Raises:
        UnsupportedOpError: The network joins or forks, or computes what it does not use; it
            names the node.
    """
    line: list[onnx.NodeProto] = []
    readers: dict[str, list[onnx.NodeProto]] = {sample: []}
    for node in graph.node:
        read = [name for name in node.input if name in readers]
        if not read or node.op_type in SHAPE_OPERATORS:
            continue
        if len(read) > 1:
            named = " and ".join(repr(name) for name in read)
            _refuse(node, f"reads {named}, both computed from the network's input")
        readers[read[0]].append(node)
        readers |= {name: [] for name in node.output if name}
        line.append(node)
    _refuse_outputs(graph, line)
    _refuse_forks(readers, graph.output[0].name)
    _refuse_second_outputs(line, graph.output[0].name)
    _refuse_dead_ends(line, readers, graph.output[0].name)
    return tuple(line)


def _refuse_outputs(graph: onnx.GraphProto, line: list[onnx.NodeProto]) -> None:
    if len(graph.output) == 1:
        return
    second = graph.output[1].name
    for node in line:
        if second in node.output:
            _refuse(node, f"computes {second!r}, a second output of the network")
    raise UnsupportedOpError(
        f"the network has {len(graph.output)} outputs; one is supported",
        node=second,
        hint=_HINT,
    )


def _refuse_forks(readers: dict[str, list[onnx.NodeProto]], output: str) -> None:
    for name, nodes in readers.items():
        if len(nodes) > 1:
            _refuse(nodes[1], f"reads {name!r}, which {nodes[0].name!r} reads too")
        if nodes and name == output:
            _refuse(nodes[0], f"reads {name!r}, which is the network's output")


def _refuse_second_outputs(line: list[onnx.NodeProto], output: str) -> None:
    seconds = {name: node for node in line for name in node.output[1:] if name}
    for node in line:
        for name in node.input:
            if name in seconds:
                raise UnsupportedOpError(
                    f"{node.op_type} reads {name!r}, an output of {seconds[name].name!r} "
                    "besides its first",
                    node=node.name,
                    hint="drop the additional output",
                )
    if output in seconds:
        raise UnsupportedOpError(
            f"{seconds[output].op_type} computes the network's output {output!r} besides its "
            "first output",
            node=seconds[output].name,
            hint="make its first output that of the network",
        )


def _refuse_dead_ends(
    line: list[onnx.NodeProto], readers: dict[str, list[onnx.NodeProto]], output: str
) -> None:
    for node in line:
        if output not in node.output and not any(readers[name] for name in node.output if name):
            raise UnsupportedOpError(
                f"{node.op_type} computes {node.output[0]!r}, which nothing reads",
                node=node.name,
                hint="remove the node, with onnx.utils.extract_model for instance",
            )


def _refuse(node: onnx.NodeProto, problem: str) -> NoReturn:
    raise UnsupportedOpError(f"{node.op_type} {problem}", node=node.name, hint=_HINT)
