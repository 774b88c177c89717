r"""Which samples stay within the bounds that the registers of a network were chosen for.

Where bounds are proved, all do. Where they were observed on other samples
(``docs/semantics.md``, section 4), a sample does if in every population the sum of the positive
terms and that of the negative ones are within them: no partial sum is further out, in whatever
order spikes arrive.

The sums run in onnxruntime in floating point of 24 bits. Their terms have one sign, so a sum of
:math:`K` terms is wrong by less than :math:`2 K 2^{-24}` of itself, which is added before it is
compared: a sample may be taken for one that leaves the bounds, and never the other way round.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.twin.sessions import cores, open_session
from toolchain.ir.ann import Conv, Dense, Input
from toolchain.ir.graph import Graph
from toolchain.ir.snn import Spiking
from toolchain.onnx_export import export_onnx

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = Mapping[str, npt.NDArray[Any]]

_ROUNDING = 2.0**-23


class BoundsCheck:
    """Tells samples that are within all bounds of some populations."""

    def __init__(self, graph: Graph, populations: Collection[str]) -> None:
        """Prepare for some populations.

        Args:
            graph: Quantized.
            populations: Names; those that are not of neurons do not matter.
        """
        self._populations = [
            _Population(graph, node)
            for node in graph.of_type(Spiking)
            if node.bound != "proved" and node.name in populations
        ]

    def holds(self, values: Values, samples: int) -> Bools:
        """Tell which samples are within the bounds, ``(samples,)``.

        Args:
            values: Of what layers read, ``(samples, *shape)`` by name.
            samples: How many there are.
        """
        holds = np.ones(samples, np.bool_)
        for population in self._populations:
            holds &= population.holds(values)
        return holds


class _Population:
    """The bounds of one population, and the halves of the layers that it reads."""

    def __init__(self, graph: Graph, neurons: Spiking) -> None:
        layers = graph.layers_into(neurons)
        terms = sum(math.prod(layer.weight.shape[1:]) for layer in layers)
        channels = (-1, *(1 for _ in graph.shapes[neurons.name][1:]))
        shrink = 1 - terms * _ROUNDING
        low = neurons.low
        if neurons.windows > 1:  # what inhibits is within the bound, too
            low = low - neurons.levels * neurons.lateral.sum(axis=1).ravel()
        self._low, self._high = (
            (shrink * np.broadcast_to(side, len(layers[0].weight))).reshape(channels)
            for side in (low, neurons.high)
        )
        self._halves = [_Halves(graph, layer) for layer in layers]

    def holds(self, values: Values) -> Bools:
        """Tell which samples are within the bounds."""
        sides = [half.sums(values) for half in self._halves]
        low, high = (np.sum(parts, axis=0) for parts in zip(*sides, strict=True))
        within = (low <= self._low) & (high <= self._high)
        is_within: Bools = within.reshape(len(within), -1).all(axis=1)
        return is_within


class _Halves:
    """A layer as two, with its positive weights and with its negative ones."""

    def __init__(self, graph: Graph, layer: Dense | Conv) -> None:
        self._source = layer.inputs[0]
        shape = graph.shapes[self._source]
        entry = Input(name=self._source, shape=shape, source_shape=shape)
        names = ("lowering", "raising")
        halves = [
            dataclasses.replace(
                layer,
                name=name,
                inputs=(self._source,),
                weight=np.maximum(sign * layer.weight, 0),
                bias=np.zeros(()),
            )
            for name, sign in zip(names, (-1, 1), strict=True)
        ]
        model = export_onnx(dataclasses.replace(graph, nodes=(entry, *halves)), names)
        self._session = open_session(model, cores())

    def sums(self, values: Values) -> tuple[Floats, Floats]:
        """Return the sums of negative terms, as magnitudes, and of positive ones."""
        x = values[self._source].astype(np.float32)
        low, high = self._run(np.maximum(x, 0))
        if (x < 0).any():
            raised, lowered = self._run(np.maximum(-x, 0))
            return low + lowered, high + raised
        return low, high

    def _run(self, x: Floats) -> tuple[Floats, Floats]:
        low, high = self._session.run(None, {self._source: x})
        return low, high
