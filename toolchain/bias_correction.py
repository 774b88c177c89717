"""The mean error of a population, taken back through the bias of the layer before it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from toolchain.calibration import Calibration
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.counts import Values, fired
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking
from toolchain.running_counts import BlockSums, RunningCounts

Layer: TypeAlias = Dense | Conv
Layers: TypeAlias = tuple[Layer, ...]
Change: TypeAlias = Callable[[Layers, Spiking, Floats], Layer]
"""Return the first of a population's layers with its bias raised by about so much, ``(C,)``."""


def correct_means(graph: Graph, calibration: Calibration, change: Change) -> Graph:
    """Bring the mean counts of every channel closer to its mean activation.

    Layer by layer from the input: where the mean activation of a channel in the analogue
    network, divided by what one spike stands for, differs from its mean count, the bias takes
    the difference. Counts are clipped at both ends, so a step may overshoot; it is kept only in
    the channels where it brings the means closer. Layers behind see the corrected counts.

    Args:
        graph: Converted or later.
        calibration: Samples, and the activations of the analogue network on them; neurons of
            which nothing is known are left alone.
        change: Changes the bias of a layer, in thresholds.

    Source: Li et al., "A Free Lunch From ANN", ICML 2021, section 3.4, the "light" pipeline.
    """
    corrected: dict[str, Node] = {}
    counts = RunningCounts(graph, calibration.x)
    for node in graph.of_type(Spiking):
        known, layers = calibration.activations.get(node.name), graph.layers_into(node)
        if known is None or not layers:
            continue
        counts.advance(node, corrected)
        sums = counts.sums(layers)
        wanted = known.mean / np.broadcast_to(node.unit.ravel(), known.mean.shape)
        layer = _correct(layers, node, sums, wanted, change)
        corrected[layer.name] = layer
        counts.send(node, sums.sent(_firing(node, _difference(layer, layers[0]))))
    changed = [node for name, node in corrected.items() if node is not graph[name]]
    return graph.swap(*changed) if changed else graph


def _correct(
    layers: Layers, neurons: Spiking, sums: BlockSums, wanted: Floats, change: Change
) -> Layer:
    """Return the first layer with its new bias.

    Args:
        layers: Of the population.
        neurons: The population.
        sums: Of the layers.
        wanted: Mean counts.
        change: Changes a bias.
    """
    found = sums.mean_sent(_firing(neurons))
    changed = change(layers, neurons, wanted - found)
    reached = sums.mean_sent(_firing(neurons, _difference(changed, layers[0])))
    closer = np.abs(wanted - reached) < np.abs(wanted - found)
    return change(layers, neurons, np.where(closer, wanted - found, 0.0))


def _firing(neurons: Spiking, more: Floats | None = None) -> Callable[[Values], Values]:
    """Return what gives counts for sums that have so much more added to them."""
    return functools.partial(fired, neurons, more=more)


def _difference(changed: Layer, layer: Layer) -> Floats:
    return np.asarray(changed.bias, np.float64) - np.asarray(layer.bias, np.float64)
