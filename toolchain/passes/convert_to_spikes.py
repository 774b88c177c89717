r"""Swap every rectifier for a population of multi-threshold neurons.

A neuron with threshold :math:`\theta` that starts at :math:`\theta / 2` counts
:math:`n = \mathrm{clip}(\lfloor a / \theta + 1/2 \rfloor, 0, L)` for the activation :math:`a`,
so :math:`\theta n` is :math:`a` rounded to the nearest level. Only counts travel. With
:math:`\theta_{in}` of the population before (for the input, the units of one integer step),

.. math::
    W' = \theta^{-1} W \theta_{in}, \qquad b' = \theta^{-1} b

gives every neuron the threshold 1 and the start 1/2. The last layer keeps its own units,
:math:`W' = W \theta_{in}`, and its bias is added by the host, which is exact and costs no
synapse.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.conversion import METHODS
from toolchain.encoding import choose_encoding
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Input, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.snn import LmHt, MultiThreshold
from toolchain.rewriting import Context, compiler_pass

Floats: TypeAlias = npt.NDArray[np.float64]

_RESOLUTION_MIN = 16


@compiler_pass("convert-to-spikes", phase=Phase.CONVERT)
def convert_to_spikes(graph: Graph, context: Context) -> Graph:
    """Replace every `Relu` with a `MultiThreshold` and scale the layers to spike counts.

    Raises:
        ConversionError: The network has not been calibrated.
    """
    if graph.input.encoding is not None or graph.of_type(LmHt):
        return graph
    if context.calibration is None:
        if not graph.of_type(Relu):
            return graph
        raise ConversionError("there are no calibration samples to choose thresholds from")
    method = METHODS[context.method]
    units: dict[str, Floats] = {}
    converted: dict[str, Node] = {}
    for node in graph:
        shape = graph.shapes[node.name]
        if isinstance(node, Input):
            node = dataclasses.replace(node, encoding=choose_encoding(context.calibration.x))
            units[node.name] = np.asarray(node.encoding.scale if node.encoding else 1.0)
        elif isinstance(node, (Dense, Conv)):
            node = _per_step(node, units[node.inputs[0]])
            units[node.name] = np.ones(())
        elif isinstance(node, Relu):
            statistics = context.calibration.activations[node.name]
            layer = converted[node.inputs[0]]
            thresholds = _without_dead(method(statistics, context.levels))
            thresholds = np.maximum(thresholds, _resolvable(layer, context))
            units[node.name] = thresholds.reshape(-1, *(1 for _ in shape[1:]))
            converted[layer.name] = _per_threshold(layer, units[node.name])
            node = _neurons(node, context.levels, units[node.name])
        else:
            units[node.name] = _passed(node, units[node.inputs[0]], graph)
            if isinstance(node, Output):
                node, layer = _read_out(node, converted[node.inputs[0]])
                converted[layer.name] = layer
        converted[node.name] = node
    return graph.with_nodes(converted.values())


def _neurons(node: Relu, levels: int, unit: Floats) -> MultiThreshold:
    return MultiThreshold(
        name=node.name,
        inputs=node.inputs,
        origin=node.origin,
        levels=levels,
        initial=np.asarray(0.5),
        unit=unit,
    )


def _without_dead(thresholds: Floats) -> Floats:
    """Give channels that are never active the middle threshold of the others."""
    active = thresholds[thresholds > 0]
    return np.where(thresholds > 0, thresholds, np.median(active) if active.size else 1.0)


def _resolvable(layer: Node, context: Context) -> Floats:
    """Return the smallest threshold of each channel that integers can tell apart, ``(C,)``.

    The largest weight becomes the target's largest integer, or the largest bias fills its
    register, and the threshold should be at least `_RESOLUTION_MIN` then. It matters for
    channels that are hardly ever active.
    """
    if not isinstance(layer, (Dense, Conv)):
        raise TypeError(f"{layer.name} is no layer")
    target, channels = context.target, len(layer.weight)
    room = target.bias_max if context.lowering == "spatial" else target.current_max // 2
    weight = np.abs(layer.weight).reshape(channels, -1).max(axis=1)
    bias = np.abs(layer.bias) if np.ndim(layer.bias) else np.full(channels, np.abs(layer.bias))
    bias = np.asarray(bias, np.float64).reshape(channels, -1).max(axis=1)
    return _RESOLUTION_MIN * np.maximum(weight / target.weight_max, bias / room)


def _per_step(layer: Dense | Conv, unit: Floats) -> Dense | Conv:
    """Return the layer for inputs in units of ``unit`` instead of 1."""
    weight = layer.weight.astype(np.float64)
    if isinstance(layer, Dense):
        return dataclasses.replace(layer, weight=weight * unit)
    channels = weight.shape[1] * layer.groups
    per_group = np.broadcast_to(unit.ravel(), channels).reshape(layer.groups, 1, -1, 1, 1)
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:]) * per_group
    return dataclasses.replace(layer, weight=grouped.reshape(weight.shape))


def _per_threshold(layer: Node, threshold: Floats) -> Node:
    """Return the layer with its outputs in units of the thresholds they meet."""
    if isinstance(layer, Dense):
        threshold = threshold.ravel()
        weight = layer.weight / threshold[:, None]
        return dataclasses.replace(layer, weight=weight, bias=layer.bias / threshold)
    if isinstance(layer, Conv):
        weight = layer.weight / threshold.reshape(-1, 1, 1, 1)
        return dataclasses.replace(layer, weight=weight, bias=layer.bias / threshold)
    raise TypeError(f"{layer.name} is no layer")


def _passed(node: Node, unit: Floats, graph: Graph) -> Floats:
    """Return the units behind a node that only passes counts on."""
    if not isinstance(node, Rearrange) or unit.ndim == 0:
        return unit
    flat = np.broadcast_to(unit, graph.shapes[node.inputs[0]]).ravel()
    return (flat if node.order is None else flat[node.order.ravel()]).reshape(node.shape)


def _read_out(node: Output, layer: Node) -> tuple[Output, Node]:
    """Move the bias of the last layer to the host."""
    if not isinstance(layer, (Dense, Conv)):
        return node, layer
    offset = node.offset + node.scale * np.asarray(layer.bias, np.float64)
    return (
        dataclasses.replace(node, offset=offset),
        dataclasses.replace(layer, bias=np.zeros(())),
    )
