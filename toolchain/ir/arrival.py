"""When what a population sums arrives: straight from an input, or by way of other neurons."""

from __future__ import annotations

from toolchain.ir.ann import MaxPool, Output, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt, Spiking
from toolchain.ir.staircase import Staircase

_NEURONS = (Relu, Staircase, LmHt, Spiking)


def input_waits(graph: Graph) -> bool:
    """Tell whether an input joins what other layers have made meanwhile.

    Spikes can wait in relays; the graded values of an input cannot.

    Args:
        graph: After `Phase.PREPARE`, or later.
    """
    is_late: dict[str, bool] = {}
    for node in graph:
        is_late[node.name] = isinstance(node, (*_NEURONS, MaxPool)) or any(
            is_late[name] for name in node.inputs
        )
    return any(
        len({is_late[layer.inputs[0]] for layer in graph.layers_into(node)}) > 1
        for node in graph
        if isinstance(node, (*_NEURONS, Output))
    )
