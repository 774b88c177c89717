"""Inputs on which wrong arithmetic shows: extreme ones, and potentials next to thresholds."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.bounds import Layer, input_range
from toolchain.ir.ann import Conv
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking

Ints: TypeAlias = npt.NDArray[np.int64]

VECTORS = 4
"""Samples that a layer or a population is tested on."""


def layer_inputs(graph: Graph, layer: Layer) -> Ints:
    """Return inputs ``(VECTORS, *shape)``: the largest, two that drive an output up, random."""
    shape = graph.shapes[layer.inputs[0]]
    low, high = input_range(graph, layer)
    random = np.random.default_rng(0)
    driven = random.integers(0, len(layer.weight))
    rises = _signs(layer, driven, shape[0]) > 0
    up = np.where(rises.reshape(-1, *(1 for _ in shape[1:])), high, low)
    return np.stack(
        [
            np.full(shape, high),
            np.broadcast_to(up, shape),
            np.broadcast_to(high + low - up, shape),
            random.integers(low, high + 1, shape),
        ]
    )


def _signs(layer: Layer, output: int, channels: int) -> Array:
    """Return which way each input channel drives an output, ``(channels,)``."""
    if not isinstance(layer, Conv):
        return layer.weight[output]
    per_group = layer.weight.shape[1]
    signs = np.ones(channels, np.int64)
    first = output // (len(layer.weight) // layer.groups) * per_group
    signs[first : first + per_group] = layer.weight[output].sum(axis=(1, 2))
    return signs


def currents_at_ties(graph: Graph, neurons: Spiking) -> Ints:
    """Return input currents ``(VECTORS, *shape)`` that just reach a threshold, or just miss it.

    In odd samples the potential is ``k * threshold`` and in even ones 1 below, with another
    ``k`` for each neuron, from 0 to ``levels``. Earlier windows are counted as they then fire.
    """
    shape = graph.shapes[neurons.name]
    channels = shape[0] // neurons.windows
    column = (-1, *(1 for _ in shape[1:]))
    threshold, initial = (
        np.broadcast_to(np.ravel(value), shape[:1]).reshape(column)
        for value in (neurons.threshold, neurons.initial)
    )
    misses = (np.arange(VECTORS) % 2 == 0).reshape(-1, *(1 for _ in shape))
    index = np.arange(int(np.prod(shape))).reshape(shape)
    wanted = (index + np.arange(0, VECTORS, 2).repeat(2).reshape(misses.shape)) % (
        neurons.levels + 1
    )
    currents = wanted * threshold - misses - initial
    fired = np.maximum(wanted - misses, 0)
    for later in range(1, neurons.windows):
        for earlier in range(later):
            inhibition = neurons.lateral[later, earlier].reshape(column)
            currents[:, later * channels : (later + 1) * channels] += (
                inhibition * fired[:, earlier * channels : (earlier + 1) * channels]
            )
    return currents
