"""The mean error of a population, taken back through the bias of the layer before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from toolchain.calibration import Calibration
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.reference import Floats
from toolchain.ir.snn import Spiking

Layer: TypeAlias = Dense | Conv
Change: TypeAlias = Callable[[Layer, Spiking, Floats], Layer]
"""Return the layer with its bias raised by about so much, ``(C,)``, in thresholds."""


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
        change: Changes the bias of a layer.

    Source: Li et al., "A Free Lunch From ANN", ICML 2021, section 3.4, the "light" pipeline.
    """
    nodes: dict[str, Node] = {}
    before: Floats = np.asarray(calibration.x, np.float64)
    value = before
    for node in graph:
        layer = nodes.get(node.inputs[0]) if node.inputs else None
        known = calibration.activations.get(node.name)
        if known is not None and isinstance(node, Spiking) and isinstance(layer, (Dense, Conv)):
            mean = known.mean
            wanted = mean / np.broadcast_to(node.unit.ravel(), mean.shape)
            corrected = _correct(layer, node, value, wanted, change)
            value = value + _difference(corrected, layer)
            nodes[layer.name] = corrected
        value = count(node, value)
        nodes[node.name] = node
    changed = any(nodes[node.name] is not node for node in graph)
    return graph.with_nodes(nodes.values()) if changed else graph


def _correct(
    layer: Layer, neurons: Spiking, a: Floats, wanted: Floats, change: Change
) -> Layer:
    """Return the layer with its new bias; ``a`` is its output, ``wanted`` the mean counts."""
    found = _channel_mean(count(neurons, a))
    changed = change(layer, neurons, wanted - found)
    reached = _channel_mean(count(neurons, a + _difference(changed, layer)))
    closer = np.abs(wanted - reached) < np.abs(wanted - found)
    return change(layer, neurons, np.where(closer, wanted - found, 0.0))


def _difference(changed: Layer, layer: Layer) -> Floats:
    return np.asarray(changed.bias, np.float64) - np.asarray(layer.bias, np.float64)


def _channel_mean(counts: Floats) -> Floats:
    return counts.mean(axis=(0, *range(2, counts.ndim)))
