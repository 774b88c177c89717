"""What a prepared network takes of a chip, as far as no sample is needed to tell."""

from __future__ import annotations

import math

from toolchain.checking.findings import Capacity
from toolchain.ir.ann import Conv, Dense, MaxPool, Output, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.target import Target
from toolchain.tuning.lowering import choose_lowering

_POPULATIONS = (Relu, Staircase, LmHt, MaxPool)


def capacity_of(prepared: Graph, target: Target, levels: int) -> Capacity:
    """Return what a network takes.

    Args:
        prepared: After `Phase.PREPARE`.
        target: The chip.
        levels: Largest spike count of a neuron, where it is not trained.
    """
    trained = prepared.of_type(LmHt)
    levels = max((node.levels for node in trained), default=levels)
    lowering = choose_lowering(prepared, levels, target)
    units = sum(
        math.prod(prepared.shapes[node.name])
        for node in prepared
        if isinstance(node, _POPULATIONS)
    )
    layers = [node for node in prepared if isinstance(node, (Dense, Conv))]
    return Capacity(
        levels=levels,
        lowering=lowering,
        units=units,
        neurons=units * levels if lowering == "spatial" else units,
        neurons_available=target.neurons.value,
        connections=sum(
            layer.weight.size * math.prod(prepared.shapes[layer.name][1:]) for layer in layers
        ),
        fan_in=max(
            (
                sum(math.prod(layer.weight.shape[1:]) for layer in prepared.layers_into(node))
                for node in prepared
                if isinstance(node, (*_POPULATIONS, Output)) and node.inputs
            ),
            default=0,
        ),
    )
