"""Which lowering to take: the one that every format can say, if it fits the chip."""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import MaxPool, Relu
from toolchain.ir.arrival import input_waits
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.target import Target

_ACTIVATIONS = (Relu, LmHt, Staircase)
_STEPS_MAX = 63


def choose_lowering(prepared: Graph, levels: int, target: Target) -> str:
    """Return ``spatial`` if the copies of all neurons fit one chip, else ``temporal``.

    The spatial lowering answers in one time step a layer and is the one that all formats can
    say, but takes ``levels`` times the neurons.

    The radix lowering needs neuron programs that are not among the stock ones, so whoever wants
    it asks for it. It is chosen for quantized models with more than `_STEPS_MAX` levels only:
    their levels cannot be lowered, and the other two would take as many steps or copies, and
    sums that no register holds. Negative numbers of an input cannot wait there for what they
    join, so such networks are ``temporal``.

    Networks of several windows need a memory in either lowering, so they are ``temporal``: it
    takes the fewest neurons.

    Args:
        prepared: After `Phase.PREPARE`.
        levels: Copies of each neuron in the spatial lowering, but for those of a quantized
            model, which have their own.
        target: The chip.
    """
    if any(node.high > _STEPS_MAX for node in prepared.of_type(Staircase)):
        return "temporal" if _holds_negatives_back(prepared) else "radix"
    if any(node.windows > 1 for node in prepared.of_type(LmHt)):
        return "temporal"
    neurons = sum(
        int(np.prod(prepared.shapes[node.name])) * _copies(prepared, node, levels)
        for node in prepared
        if isinstance(node, (*_ACTIVATIONS, MaxPool))
    )
    return "spatial" if neurons <= target.neurons.value else "temporal"


def _holds_negatives_back(prepared: Graph) -> bool:
    is_signed = any(node.encoding and node.encoding.low < 0 for node in prepared.inputs)
    return is_signed and input_waits(prepared)


def _copies(prepared: Graph, node: Node, levels: int) -> int:
    """Return the copies of a neuron, or of one that pools them, in the spatial lowering."""
    sends = node if isinstance(node, _ACTIVATIONS) else prepared.feeder(node)
    return int(sends.high) if isinstance(sends, Staircase) else levels
