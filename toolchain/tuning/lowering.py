"""Which lowering to take: the one that every format can say, if it fits the chip."""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import MaxPool, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt
from toolchain.target import Target


def choose_lowering(prepared: Graph, levels: int, target: Target) -> str:
    """Return ``spatial`` if the copies of all neurons fit one chip, else ``temporal``.

    The spatial lowering answers in one time step a layer and is the one that all formats can
    say, but takes ``levels`` times the neurons.

    The radix lowering is never chosen: it needs neuron programs that are not among the stock
    ones, so whoever wants it asks for it.

    Networks of several windows need a memory in either lowering, so they are ``temporal``: it
    takes the fewest neurons.

    Args:
        prepared: After `Phase.PREPARE`.
        levels: Copies of each neuron in the spatial lowering.
        target: The chip.
    """
    if any(node.windows > 1 for node in prepared.of_type(LmHt)):
        return "temporal"
    populations = [*prepared.of_type(Relu), *prepared.of_type(LmHt), *prepared.of_type(MaxPool)]
    neurons = sum(int(np.prod(prepared.shapes[node.name])) for node in populations)
    return "spatial" if neurons * levels <= target.neurons.value else "temporal"
