r"""Keep the integers of layers that are quantized already.

Where the weights of a population are whole multiples of one number a channel (`integers`), they
become these multiples, and the threshold what it then has to be. For whole thresholds the
neurons count exactly as before; power-of-two scales always have them. Other thresholds are
rounded, and some sums next to one get a level more or less. In the radix lowering weights and
thresholds are then multiplied by the largest power of two that the registers hold, so that less
is lost: the neurons shift their sum.

A channel of weights so small that no register holds its threshold may send the same count
whatever it reads: then it is given that count, and weights of 0. What else does not fit the
registers is left to `quantize-parameters`, which rounds everything.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from toolchain.bounds import Layer, Observer, Sums, input_range, proved_sums, summed
from toolchain.integers import (
    Bools,
    Floats,
    Ints,
    Lattice,
    Thresholds,
    find_lattice,
    whole_thresholds,
)
from toolchain.ir.ann import Conv, Output
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.narrow import narrowed
from toolchain.ir.node import Node
from toolchain.ir.snn import RadixFire, Spiking, ThresholdBank
from toolchain.registers import Demand, excess_of, largest_weight, output_max
from toolchain.rewriting import Context, compiler_pass

Layers: TypeAlias = tuple[Layer, ...]
Observation: TypeAlias = Callable[[], Sums]

_MARGIN = 1.25
_SHIFTS_MAX = 12
_FACTORS_MAX = 16
_FLOAT32_EXACT = 2**24
_ERROR_MAX, _ERROR_MAX_FILLED = 0.1, 0.5
_SUM_MAX = 2**60


@compiler_pass("keep-integers", phase=Phase.QUANTIZE)
def keep_integers(graph: Graph, context: Context) -> Graph:
    """Make integers of every population and output whose weights are multiples of a step."""
    kept: dict[str, Node] = {}
    observer = None
    if context.calibration is not None:
        observer = Observer(graph, context.calibration.x)
    for node in graph:
        layers = graph.layers_into(node) if isinstance(node, (Spiking, Output)) else ()
        if not layers or layers[0].weight.dtype.kind == "i":
            continue
        most = min(largest_weight(layer, context.target) for layer in layers)
        lattice = find_lattice(layers, most)
        if lattice is None:
            continue
        found: tuple[Node, ...] = ()
        if isinstance(node, Output):
            found = _readout(graph, layers, lattice, node, context)
        elif isinstance(node, Spiking) and node.windows == 1:
            seen = functools.partial(observer.sums, node, kept) if observer else None
            found = _population(graph, layers, lattice, node, context, seen)
        kept |= {part.name: part for part in found}
    return graph.swap(*kept.values()) if kept else graph


def _population(
    graph: Graph,
    layers: Layers,
    lattice: Lattice,
    neurons: Spiking,
    context: Context,
    seen: Observation | None,
) -> tuple[Node, ...]:
    """Return the population and its layers in integers; nothing where they do not fit."""
    fit = _Fit(layers, lattice, neurons, tuple(input_range(graph, layer) for layer in layers))
    for is_last_resort in (False, True):
        for observe in (None, seen) if seen is not None else (None,):
            sums = None if observe is None else observe()
            found = fit.fitted(context, sums, is_last_resort=is_last_resort)
            if found is not None:
                return found.nodes(graph, layers, neurons)
    return ()


@dataclasses.dataclass(frozen=True)
class _Kept(Demand):
    """What a population is in integers, and how its sums are bounded."""

    weights: tuple[Ints, ...]
    bound: str
    level_error: float

    def nodes(self, graph: Graph, layers: Layers, neurons: Spiking) -> tuple[Node, ...]:
        """Return the nodes with these integers."""
        shape = graph.shapes[neurons.name]
        per_channel = (-1, *(1 for _ in shape[1:]))
        initial = np.broadcast_to(np.asarray(neurons.initial).ravel(), self.threshold.shape)
        start = np.floor(initial * self.threshold).astype(np.int64)
        bias = self.constant - start[:, None]
        if np.array_equal(bias, np.broadcast_to(bias[:, :1], bias.shape)):
            bias = bias[:, :1]
        bias = bias.reshape(per_channel if bias.shape[1] == 1 else shape)
        biases = [bias, *(np.zeros((), np.int64) for _ in layers[1:])]
        parts = zip(layers, self.weights, biases, strict=True)
        return (
            *(dataclasses.replace(layer, weight=narrowed(w), bias=b) for layer, w, b in parts),
            dataclasses.replace(
                neurons,
                threshold=self.threshold.reshape(per_channel),
                initial=start.reshape(per_channel),
                low=self.low,
                high=self.high,
                bound=self.bound,
                level_error=self.level_error,
                lateral=np.zeros((), np.int64),
            ),
        )


@dataclasses.dataclass(frozen=True)
class _Fit:
    """The search for thresholds that go with the integers of a population.

    Attributes:
        layers: What feeds it, with float weights for a threshold of 1.
        lattice: Their weights as integers.
        neurons: The population.
        ranges: Of each layer's inputs.
    """

    layers: Layers
    lattice: Lattice
    neurons: Spiking
    ranges: tuple[tuple[int, int], ...]

    def fitted(
        self, context: Context, sums: Sums | None, *, is_last_resort: bool
    ) -> _Kept | None:
        """Return the integers that say the thresholds best; `None` if none fit.

        Args:
            context: With the target.
            sums: Observed, in thresholds; `None` to prove them.
            is_last_resort: Whether channels may have coarser integers than others, and levels
                may move as far as any integers would move them.
        """
        for factor in self._factors(context):
            kept = self._fitting(factor, context, sums, is_last_resort)
            if kept is not None:
                return kept
        return None

    def _fitting(
        self, factor: Ints, context: Context, sums: Sums | None, is_last_resort: bool
    ) -> _Kept | None:
        """Return integers with these factors, or smaller ones where registers are narrow."""
        shift, fixed = self._shifts(factor), np.zeros(len(factor), bool)
        while True:
            scale = factor << shift
            thresholds = self._thresholds(scale)
            kept = self._kept(scale, thresholds, sums)
            excess = self._excess(kept, context) & ~fixed
            if not excess.any():
                break
            is_stuck = excess & (shift == 0) & ~(is_last_resort & (factor > 1))
            if np.any(is_stuck & ~self._is_constant()):
                return None
            fixed = fixed | is_stuck
            factor = np.where(excess & (shift == 0) & ~is_stuck, factor // 2, factor)
            shift = np.where(excess & (shift > 0), shift - 1, shift)
        limit = self._limit(scale, context) if is_last_resort else _ERROR_MAX
        if np.any(np.where(fixed, 0, thresholds.error) > limit):
            return None
        return self._with_fixed(kept, thresholds, fixed)

    def _is_constant(self) -> Bools:
        """Tell which channels send the same count whatever they read, ``(C,)``."""
        lowest, highest = self._ends()
        return np.asarray((lowest == highest).all(axis=1))

    def _ends(self) -> tuple[Floats, Floats]:
        """Return counts for the lowest and the highest sums, ``(C, 1 or positions)`` each."""
        parts = zip(self.layers, self.lattice.weights, self.ranges, strict=True)
        low, high = summed(
            [proved_sums(dataclasses.replace(part, weight=w), *r) for part, w, r in parts]
        )
        start = self._bias() + np.ravel(self.neurons.initial)[:, None]
        ends = (side * self.lattice.step for side in (-low, high))
        lowest, highest = (
            np.clip(np.floor(start + end[:, None]), 0, self.neurons.levels) for end in ends
        )
        return lowest, highest

    def _with_fixed(self, kept: _Kept, thresholds: Thresholds, fixed: Bools) -> _Kept:
        """Return the integers with those of some channels saying their constant counts."""
        if not fixed.any():
            return kept
        count, none = self._ends()[0].astype(np.int64), np.zeros_like(kept.low)
        return dataclasses.replace(
            kept,
            threshold=np.where(fixed, 2, kept.threshold),
            constant=np.where(fixed[:, None], 2 * count, kept.constant),
            low=np.where(fixed, none, kept.low),
            high=np.where(fixed, none, kept.high),
            weights=tuple(
                np.where(fixed.reshape(-1, *(1,) * (weight.ndim - 1)), 0, weight)
                for weight in kept.weights
            ),
            level_error=float(np.where(fixed, 0.0, thresholds.error).max()),
        )

    def _limit(self, scale: Ints, context: Context) -> Floats:
        """Return how far a level may move: further where integers could not be much finer."""
        most = min(largest_weight(layer, context.target) for layer in self.layers)
        is_filled = 2 * scale * self.lattice.largest > most
        return np.where(is_filled, _ERROR_MAX_FILLED, _ERROR_MAX)

    def _factors(self, context: Context) -> Iterator[Ints]:
        """Yield by what integers may be multiplied, ``(C,)``: the best for thresholds first."""
        most = min(largest_weight(layer, context.target) for layer in self.layers)
        room = most // self.lattice.largest
        best = np.ones_like(room)
        error = self._thresholds(best).error
        for factor in (*range(2, _FACTORS_MAX + 1), most):
            if not error.any():
                break
            factors = np.minimum(factor, room)
            finer = self._thresholds(factors).error
            best, error = np.where(finer < error, factors, best), np.minimum(finer, error)
        yield best
        if (best > 1).any():
            yield np.ones_like(best)

    def _shifts(self, factor: Ints) -> Ints:
        """Return the powers of two to multiply with, ``(C,)``: in the radix lowering any."""
        is_exact = self._thresholds(factor).error == 0
        most = _SHIFTS_MAX if isinstance(self.neurons, RadixFire) else 0
        return np.where(is_exact, 0, most)

    def _thresholds(self, scale: Ints) -> Thresholds:
        initial = np.asarray(self.neurons.initial, np.float64).ravel()
        return whole_thresholds(
            scale / self.lattice.step,
            self._bias(),
            np.broadcast_to(initial, scale.shape),
            self.neurons.levels,
            scale,
        )

    def _bias(self) -> Floats:
        """Return the biases of all layers, ``(C, 1 or positions)``, in thresholds."""
        bias = np.asarray(sum(layer.bias for layer in self.layers), np.float64)
        channels = len(self.lattice.step)
        return np.full((channels, 1), bias) if bias.size == 1 else bias.reshape(channels, -1)

    def _kept(self, scale: Ints, thresholds: Thresholds, sums: Sums | None) -> _Kept:
        weights = tuple(
            weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
            for weight in self.lattice.weights
        )
        if sums is None:
            parts = zip(self.layers, weights, self.ranges, strict=True)
            low, high = summed(
                [proved_sums(dataclasses.replace(part, weight=w), *r) for part, w, r in parts]
            )
        else:
            low, high = (_MARGIN * side * scale / self.lattice.step for side in sums)
        return _Kept(
            threshold=thresholds.threshold,
            constant=thresholds.constant,
            low=np.clip(np.ceil(low), -_SUM_MAX, _SUM_MAX).astype(np.int64),
            high=np.clip(np.ceil(high), -_SUM_MAX, _SUM_MAX).astype(np.int64),
            weights=weights,
            bound="proved" if sums is None else "observed",
            level_error=float(thresholds.error.max()),
        )

    def _excess(self, kept: _Kept, context: Context) -> Bools:
        """Tell which channels fit no register, ``(C,)``, with thresholds shared or not."""
        found = excess_of(kept, self.neurons, context.target, own_thresholds=False)
        if found.any() and isinstance(self.neurons, ThresholdBank):
            found = excess_of(kept, self.neurons, context.target, own_thresholds=True)
        return found | self._is_beyond_float32(kept)

    def _is_beyond_float32(self, kept: _Kept) -> Bools:
        """Tell which channels of grouped convolutions count mode could not add up exactly.

        Its layers of bytes are not grouped, and it runs these in float32.
        """
        if not any(isinstance(layer, Conv) and layer.groups > 1 for layer in self.layers):
            return np.zeros(len(kept.low), bool)
        reach = np.abs(kept.constant).max(axis=1)
        for weight, ends in zip(kept.weights, self.ranges, strict=True):
            rows = np.abs(weight).reshape(len(weight), -1).sum(axis=1)
            reach = reach + rows * max(map(abs, ends))
        return np.asarray(reach >= _FLOAT32_EXACT)


def _readout(
    graph: Graph, layers: Layers, lattice: Lattice, output: Output, context: Context
) -> tuple[Node, ...]:
    """Return the output and its layers in integers; nothing where they do not fit."""
    sums = [
        proved_sums(dataclasses.replace(layer, weight=weight), *input_range(graph, layer))
        for layer, weight in zip(layers, lattice.weights, strict=True)
    ]
    if np.max(summed(sums)) > output_max(context.lowering, context.target):
        return ()
    step = lattice.step.reshape(-1, *(1 for _ in graph.shapes[layers[0].name][1:]))
    zero = np.zeros((), np.int64)
    return (
        *(
            dataclasses.replace(layer, weight=narrowed(weight), bias=zero)
            for layer, weight in zip(layers, lattice.weights, strict=True)
        ),
        dataclasses.replace(output, scale=output.scale * step),
    )
