"""Recurrent layers: why none is supported, and the nodes that only serve one.

They read sequences with the batch axis second, so exporters turn values around before them.
What is in the way is the layer then, and not the turning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import onnx

_STATE = "its state is kept over the sequence"
_GATES = "its gates multiply two values that depend on the sample"

RECURRENT = {
    "GRU": f"{_GATES}, and {_STATE}",
    "LSTM": f"{_GATES}, and {_STATE}",
    "DynamicQuantizeLSTM": f"{_GATES}, and {_STATE}",
    "RNN": f"{_STATE}, through an activation in every step",
}
"""Operators, and what they do that a network of layers cannot."""

_LAYOUT = (
    "Cast",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)


def nodes_for_recurrence(
    graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]
) -> frozenset[str]:
    """Return the names of nodes that only bring values into the layout of recurrent layers.

    Args:
        graph: The model's.
        nodes: Those that depend on the sample, in the order they run.
    """
    readers: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node.name)
    for value in graph.output:
        readers[value.name].append("")
    served = {node.name for node in nodes if node.op_type in RECURRENT}
    serving: set[str] = set()
    for node in reversed(nodes):
        reading = [reader for name in node.output for reader in readers[name]]
        if node.op_type in _LAYOUT and reading and served.issuperset(reading):
            served.add(node.name)
            serving.add(node.name)
    return frozenset(serving)
