"""Correct biases for what the staircase of the neurons loses on average.

``toolchain.bias_correction`` has the method.
"""

from __future__ import annotations

import dataclasses

from toolchain.bias_correction import Layer, Layers, correct_means
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import Floats
from toolchain.ir.snn import MultiThreshold, Spiking
from toolchain.rewriting import Context, compiler_pass


@compiler_pass("correct-bias", phase=Phase.CONVERT, after=("convert-to-spikes",))
def correct_bias(graph: Graph, context: Context) -> Graph:
    """Correct the bias of every layer that feeds neurons."""
    if context.calibration is None or not graph.of_type(MultiThreshold):
        return graph
    return correct_means(graph, context.calibration, _raised)


def _raised(layers: Layers, neurons: Spiking, step: Floats) -> Layer:
    """Return the first layer with its bias higher by ``step`` thresholds of 1, ``(C,)``."""
    layer = layers[0]
    per_channel = (-1, 1, 1) if layer.weight.ndim == 4 else (-1,)
    return dataclasses.replace(layer, bias=layer.bias + step.reshape(per_channel))
