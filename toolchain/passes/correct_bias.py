r"""Correct biases for what the staircase loses on average.

Layer by layer from the input, on the calibration samples: where the mean activation of a
channel in the analogue network, :math:`\bar a`, differs from that of its counts, the bias takes
the difference,

.. math:: b' = b + \bar a / \theta - \bar n

in units of the threshold. Counts are clipped at both ends, so a step may overshoot; it is kept
only in the channels where it brings the means closer. Layers behind see the corrected counts.

Source: Li et al., "A Free Lunch From ANN", ICML 2021, section 3.4, the "light" pipeline.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.reference import Floats
from toolchain.ir.snn import MultiThreshold
from toolchain.rewriting import Context, compiler_pass

Corrected: TypeAlias = tuple[Dense | Conv, Floats]


@compiler_pass("correct-bias", phase=Phase.CONVERT, after=("convert-to-spikes",))
def correct_bias(graph: Graph, context: Context) -> Graph:
    """Correct the bias of every layer that feeds neurons."""
    if context.calibration is None or not graph.of_type(MultiThreshold):
        return graph
    corrected: dict[str, Node] = {}
    value: Floats = np.asarray(context.calibration.x, np.float64)
    for node in graph:
        if isinstance(node, MultiThreshold):
            layer = graph.producer(node)
            mean = context.calibration.activations[node.name].mean
            wanted = mean / np.broadcast_to(node.unit.ravel(), mean.shape)
            if isinstance(layer, (Dense, Conv)):
                corrected[layer.name], value = _correct(layer, node, value, wanted)
        else:
            value = count(node, value)
        corrected[node.name] = node
    return graph.with_nodes(corrected.values())


def _correct(
    layer: Dense | Conv, neurons: MultiThreshold, a: Floats, wanted: npt.NDArray[np.float64]
) -> Corrected:
    """Return the layer with its new bias, and the counts of the neurons behind it.

    Args:
        layer: The layer.
        neurons: What it feeds.
        a: Its output, ``(batch, *shape)``.
        wanted: Mean count of each channel, ``(C,)``.
    """
    before = count(neurons, a)
    step = (wanted - _channel_mean(before)).reshape(-1, *(1 for _ in a.shape[2:]))
    after = count(neurons, a + step)
    is_closer = np.abs(wanted - _channel_mean(after)) < np.abs(wanted - _channel_mean(before))
    kept = np.where(is_closer.reshape(step.shape), step, 0.0)
    counts = np.where(is_closer.reshape(step.shape), after, before)
    return dataclasses.replace(layer, bias=layer.bias + kept), counts


def _channel_mean(counts: Floats) -> npt.NDArray[np.float64]:
    return counts.mean(axis=(0, *range(2, counts.ndim)))
