"""What becomes of each ONNX node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from toolchain.checking.findings import NodeVerdict, Obstacle, Verdict
from toolchain.checking.multiply_accumulates import count_multiply_accumulates
from toolchain.frontend.survey import Survey
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Rearrange, Relu
from toolchain.ir.node import Node
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase

_ON_CHIP = (Dense, Conv, Add, Relu, Staircase, LmHt, MaxPool)
_CONSTANT = "a constant"
_LAYOUT = "the connections"


def verdicts_of(
    survey: Survey, held: Sequence[Node], stopped: Mapping[str, Obstacle]
) -> Iterable[NodeVerdict]:
    """Yield the verdict on each node of a model, in their order.

    Args:
        survey: Of the model.
        held: What its nodes have become so far.
        stopped: What stops nodes, by their names.
    """
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
            multiply_accumulates=count_multiply_accumulates(proto, survey),
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
    readers = [node.name for node in held if any(n.name in node.inputs for n in own)]
    return "folded", readers[0] if readers else _LAYOUT


def _is_relayed(node: Node) -> bool:
    """Tell whether a rearrangement needs neurons that pass spikes on."""
    return isinstance(node, Rearrange) and node.order is not None
