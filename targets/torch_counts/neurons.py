"""From the sums of layers to spike counts, with divisions that round down exactly.

Potentials are held in floating point of ``p`` bits that has all integers up to them, and all
multiples ``k * threshold``, ``k <= levels``. A potential just below ``k * threshold`` has the
quotient ``k - 1 / threshold``, and the next number below ``k`` is nearer to ``k`` than that, so
a quotient that is rounded as IEEE 754 asks never reaches ``k`` from below.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from targets.torch_counts._torch import torch
from targets.torch_counts.reach import FLOAT32_BITS, largest_joint_sum, largest_potential
from toolchain.ir.ann import Add, Output
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking


def exact_type(largest: int) -> Any:
    """Return the narrower floating point that holds all integers up to ``largest``."""
    return torch.float32 if largest < 2**FLOAT32_BITS else torch.float64


class Joint:
    """Adds up the sums of the branches of a network."""

    def __init__(self, graph: Graph, add: Add) -> None:
        self._dtype = exact_type(largest_joint_sum(graph, add))

    def __call__(self, *sums: Any) -> Any:
        """Return their sum, of the same shape."""
        return functools.reduce(torch.add, (branch.to(self._dtype) for branch in sums))


class Potential:
    """Adds what is constant to the sums of layers: biases and initial potentials."""

    def __init__(self, graph: Graph, node: Spiking | Output, device: Any) -> None:
        self._dtype = exact_type(largest_potential(graph, node))
        constant = sum((one.bias for one in graph.layers_into(node)), np.zeros((), np.int64))
        if isinstance(node, Spiking):
            constant = constant + node.initial
        self._constant = self._tensor(constant, device)

    def __call__(self, sums: Any) -> Any:
        """Return potentials ``(batch, *shape)``; ``sums`` may be overwritten."""
        return sums.to(self._dtype).add_(self._constant)

    def _tensor(self, values: Array, device: Any) -> Any:
        return torch.from_numpy(np.asarray(values, np.float64)).to(device, self._dtype)


class Readout(Potential):
    """What leaves the last layer."""

    def __call__(self, sums: Any) -> Any:
        """Return the integers ``(batch, *shape)``, int64."""
        return super().__call__(sums).to(torch.int64)


class Population(Potential):
    """Neurons of one or more windows."""

    def __init__(self, graph: Graph, node: Spiking, device: Any) -> None:
        super().__init__(graph, node, device)
        shape = graph.shapes[node.name]
        self._levels = node.levels
        self._channels = shape[0] // node.windows
        # each channel's own: windows are channels, and take turns
        per_channel = np.broadcast_to(np.ravel(node.threshold), shape[:1])
        positions = (1,) * (len(shape) - 1)
        self._threshold = self._tensor(per_channel.reshape(-1, *positions), device)
        self._lateral = None
        if node.windows > 1:
            self._lateral = self._tensor(
                node.lateral.reshape(*node.lateral.shape, *positions), device
            )

    def __call__(self, sums: Any) -> Any:
        """Return spike counts ``(batch, *shape)``, float32."""
        m = super().__call__(sums)
        if self._lateral is None:
            return self._fire(m, self._threshold)
        counts: list[Any] = []
        thresholds = self._threshold.split(self._channels)
        for window, of_window in enumerate(m.split(self._channels, dim=1)):
            for earlier, spikes in enumerate(counts):
                of_window = of_window - self._lateral[window, earlier] * spikes
            counts.append(self._fire(of_window, thresholds[window]))
        return torch.cat(counts, dim=1)

    def _fire(self, m: Any, threshold: Any) -> Any:
        return m.div_(threshold).floor_().clamp_(0, self._levels).to(torch.float32)
