"""Correct integer biases for what rounding the weights has changed on average.

Populations whose integers have been kept have no rounded weights, and are left alone.

``toolchain.bias_correction`` has the method. A step is a whole number of weight units, and is
not taken where a register could not hold the new constant. Copies that share a threshold keep
sharing it: where a step leaves no room for other channels, the largest step gives way.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.bias_correction import Layer, Layers, correct_means
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking
from toolchain.registers import demand_of, excess_of
from toolchain.rewriting import Context, compiler_pass
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]


@compiler_pass("correct-rounding", phase=Phase.QUANTIZE, after=("quantize-parameters",))
def correct_rounding(graph: Graph, context: Context) -> Graph:
    """Correct the bias of every layer that feeds neurons."""
    if context.calibration is None or not graph.of_type(Spiking):
        return graph
    return correct_means(graph, context.calibration, partial(_raised, target=context.target))


def _raised(layers: Layers, neurons: Spiking, step: Floats, *, target: Target) -> Layer:
    """Return the first layer with its bias higher by about ``step`` thresholds, ``(C,)``."""
    layer, *others = layers
    if np.isfinite(neurons.level_error):
        return layer
    units = np.rint(step * neurons.threshold.ravel()).astype(np.int64)
    shared = excess_of(demand_of(neurons, *layers), neurons, target, own_thresholds=False)
    while units.any():
        raised = _with_bias(layer, units)
        excess = excess_of(
            demand_of(neurons, raised, *others),
            neurons,
            target,
            own_thresholds=bool(shared.any()),
        )
        if not excess.any():
            return raised
        largest = np.abs(units) == np.abs(units).max()
        units = np.where(excess if units[excess].any() else largest, 0, units)
    return layer


def _with_bias(layer: Layer, units: Ints) -> Layer:
    per_channel = (-1, 1, 1) if layer.weight.ndim == 4 else (-1,)
    return dataclasses.replace(layer, bias=layer.bias + units.reshape(per_channel))
