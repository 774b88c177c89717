"""What becomes of each ONNX node."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import onnx

from toolchain.checking.findings import NodeVerdict, Obstacle, Verdict
from toolchain.checking.multiply_accumulates import count_multiply_accumulates
from toolchain.frontend.survey import Survey
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Rearrange, Relu
from toolchain.ir.node import Node
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase

_ON_CHIP = (Dense, Conv, Add, Relu, Smooth, Staircase, LmHt, MaxPool)
_CONSTANT = "a constant"
_LAYOUT = "the connections"


def verdicts_of(
    written: Sequence[onnx.NodeProto],
    survey: Survey,
    held: Sequence[Node],
    stopped: Mapping[str, Obstacle],
) -> Iterator[NodeVerdict]:
    """Yield the verdict on each node of a model, in their order.

    Some nodes are written out in several before they are imported; the main one has the name.

    Args:
        written: The nodes as the file has them, named.
        survey: Of the model.
        held: What its nodes have become so far.
        stopped: What stops nodes, by their names.
    """
    parts: dict[str, list[NodeVerdict]] = {node.name: [] for node in written}
    for verdict in _verdicts_of_parts(survey, held, stopped):
        parts[owner_of(verdict.name, parts)].append(verdict)
    for node in written:
        yield _joined(node, parts[node.name])


def owner_of(part: str, names: Collection[str]) -> str:
    """Return the node of the file that a node was written out from, or that it is."""
    name = part
    while name not in names and "/" in name:
        name = name.rpartition("/")[0]
    return name


def _joined(node: onnx.NodeProto, parts: Sequence[NodeVerdict]) -> NodeVerdict:
    """Return the verdict on a node: the worst on its parts, else that on the main one."""
    work = [part.multiply_accumulates for part in parts]
    main = next((part for part in parts if part.name == node.name), parts[0])
    for verdict in ("stopped", "not reached"):
        worst = next((part for part in parts if part.verdict == verdict), None)
        if worst is not None:
            main = worst
            break
    return dataclasses.replace(
        main,
        name=node.name,
        operator=node.op_type,
        multiply_accumulates=None if None in work else sum(filter(None, work)),
    )


def _verdicts_of_parts(
    survey: Survey, held: Sequence[Node], stopped: Mapping[str, Obstacle]
) -> Iterator[NodeVerdict]:
    holders: dict[str, list[Node]] = {}
    for node in held:
        for name in node.origin:
            holders.setdefault(name, []).append(node)
    on_host = {name for step in survey.host for name in step.origin}
    for proto in survey.file.proto.graph.node:
        verdict, into = _becomes(proto.name, survey, holders.get(proto.name, ()), held)
        why = stopped.get(proto.name)
        if why is not None:
            verdict, into = "stopped", None
        elif proto.name in survey.unreached:
            verdict, into = "not reached", None
        elif proto.name in on_host:
            verdict, into = "host", None
        yield NodeVerdict(
            name=proto.name,
            operator=proto.op_type,
            verdict=verdict,
            into=into,
            why=why,
            multiply_accumulates=count_multiply_accumulates(proto, survey.known)
            if proto.name in survey.dependent
            else 0,
        )


def _becomes(
    name: str, survey: Survey, holders: Sequence[Node], held: Sequence[Node]
) -> tuple[Verdict, str | None]:
    """Return what a node has become that nothing stops, and what it is part of if folded."""
    if name in survey.known.folded:
        return "folded", _CONSTANT
    own = [node for node in holders if node.name == name or node.name.startswith(f"{name}/")]
    if any(isinstance(node, _ON_CHIP) or _is_relayed(node) for node in own):
        return "on chip", None
    if any(isinstance(node, (Input, Output)) for node in holders):
        return "host", None
    others = [node.name for node in holders if node not in own]
    if others:
        return "folded", others[0]
    behind = [node for node in held if node not in own]
    readers = [node.name for node in behind if any(n.name in node.inputs for n in own)]
    return "folded", readers[0] if readers else _LAYOUT


def _is_relayed(node: Node) -> bool:
    """Tell whether a rearrangement needs neurons that pass spikes on."""
    return isinstance(node, Rearrange) and node.order is not None
