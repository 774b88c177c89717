r"""Round weights, thresholds and biases to the target's integers.

A channel whose threshold is 1 becomes one of threshold :math:`\theta`, an integer, by
multiplying everything before the comparison:

.. math::
    W' = \mathrm{rint}(\theta W), \qquad
    b' + v_0' = \mathrm{rint}(\theta (b + v_0)), \qquad v_0' = \lfloor \theta / 2 \rfloor

So :math:`\theta` is the resolution, and each channel takes the largest that its registers
allow: weights within the mantissa, sums and constants within what `registers` says for the
lowering, and in the temporal lowering thresholds that one synapse exponent of the population
can hold. From here on the network is exact.

Sums are bounded for every possible input (*proved*): with counts in :math:`[0, n]`, a channel's
current never leaves :math:`[n \sum W^-, n \sum W^+]`, in whatever order spikes arrive. Where
that costs more than one bit of weight precision, the largest sums on the calibration samples,
behind the integers of the layers before, take its place with a margin (*observed*), and
simulators count what leaves them. The same rule
decides whether the copies of the spatial lowering share a threshold register.

The last layer has no threshold; each output takes the finest scale that fits, and the host
undoes it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.bounds import Layer, Observer, Sums, input_range, proved_sums, summed
from toolchain.errors import RangeError
from toolchain.ir.ann import Output
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.narrow import narrowed
from toolchain.ir.node import Array, Node
from toolchain.ir.snn import IntegrateFire, Spiking, ThresholdBank
from toolchain.registers import (
    Demand,
    excess_of,
    largest_threshold,
    largest_weight,
    output_max,
    shared_exponent,
)
from toolchain.rewriting import Context, compiler_pass
from toolchain.target import Target

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Layers: TypeAlias = tuple[Layer, ...]
Observation: TypeAlias = Callable[[], Sums]

_MARGIN = 1.25
_SHRINK = 0.97
_ROUGHLY = 0.8
_STEPS_MIN = 32
_TYPICAL = 90
_LOSS_MAX = 0.5


@compiler_pass("quantize-parameters", phase=Phase.QUANTIZE, after=("keep-integers",))
def quantize_parameters(graph: Graph, context: Context) -> Graph:
    """Round every layer and the neurons behind it.

    Raises:
        RangeError: A layer fits no register even at the lowest resolution.
    """
    quantized: dict[str, Node] = {}
    observer = None
    if context.calibration is not None:
        observer = Observer(graph, context.calibration.x)
    for node in graph:
        if not isinstance(node, (Spiking, Output)):
            continue
        layers = graph.layers_into(node)
        if not layers or layers[0].weight.dtype.kind == "i":
            continue
        if isinstance(node, Spiking):
            seen = functools.partial(observer.sums, node, quantized) if observer else None
            rounded = _population(graph, layers, node, context, seen)
        else:
            rounded = _readout(graph, layers, node, context)
        quantized |= {part.name: part for part in rounded}
    return graph.swap(*quantized.values()) if quantized else graph


def _population(
    graph: Graph, layers: Layers, neurons: Spiking, context: Context, seen: Observation | None
) -> tuple[Node, ...]:
    fit = _Fit(layers, neurons, tuple(input_range(graph, layer) for layer in layers))
    bound, fitted = _chosen(fit, context.target, seen)
    shape = graph.shapes[neurons.name]
    per_channel = (-1, *(1 for _ in shape[1:]))
    threshold = fitted.threshold
    start = np.floor(_per_channel(neurons.initial, threshold) * threshold).astype(np.int64)
    bias = fitted.constant - start[:, None]
    bias = bias.reshape(per_channel if bias.shape[1] == 1 else shape)
    biases = [bias, *(np.zeros((), np.int64) for _ in layers[1:])]
    rounded = zip(layers, fitted.weights, biases, strict=True)
    return (
        *(dataclasses.replace(layer, weight=w, bias=b) for layer, w, b in rounded),
        dataclasses.replace(
            neurons,
            threshold=threshold.reshape(per_channel),
            initial=start.reshape(per_channel),
            low=fitted.low,
            high=fitted.high,
            bound=bound,
            lateral=_lateral(neurons, threshold),
        ),
    )


def _chosen(fit: _Fit, target: Target, seen: Observation | None) -> tuple[str, _Integers]:
    """Choose how sums are bounded, then whether copies share a threshold."""
    free = dataclasses.replace(fit, own_thresholds=isinstance(fit.neurons, ThresholdBank))
    bound, finest = "proved", free.finest(target) if seen is None else free.try_finest(target)
    if seen is not None and _loss(finest, free.unbounded(target)) > _LOSS_MAX:
        fit = dataclasses.replace(fit, seen=seen())
        finer = dataclasses.replace(free, seen=fit.seen).finest(target)
        if _loss(finest, finer) > _LOSS_MAX:
            bound, finest = "observed", finer
        else:
            fit = dataclasses.replace(fit, seen=None)
    if finest is None:
        finest = free.finest(target)
    shared = fit.try_finest(target) if free.own_thresholds else None
    return bound, finest if shared is None or _loss(shared, finest) > _LOSS_MAX else shared


@dataclasses.dataclass(frozen=True)
class _Integers(Demand):
    weights: tuple[Ints, ...]


@dataclasses.dataclass(frozen=True)
class _Fit:
    """The search for the finest integers of a population.

    Attributes:
        layers: What feeds it, with float weights for a threshold of 1.
        neurons: The population.
        ranges: Of each layer's inputs.
        seen: Observed sums; `None` to prove them.
        own_thresholds: Whether copies may have threshold registers of their own.
    """

    layers: Layers
    neurons: Spiking
    ranges: tuple[tuple[int, int], ...]
    seen: Sums | None = None
    own_thresholds: bool = False

    def finest(self, target: Target) -> _Integers:
        """Return the integers for the largest threshold of each channel that fits.

        Most of the search goes by sums of the unrounded weights, scaled; only the last steps
        round all weights.
        """
        rough = self._fitting(self._widest(target), target, self._rough_demand)
        return self._integers(self._fitting(rough, target, self._integers))

    def _fitting(
        self, threshold: Ints, target: Target, demand: Callable[[Ints], Demand]
    ) -> Ints:
        """Return the largest thresholds that fit, none above ``threshold``."""
        while True:
            if self._is_temporal:
                threshold = _with_one_exponent(threshold, target)
            if (threshold < 1).any():
                raise RangeError(
                    "a threshold would be below 1: weights are too large against it, or sums "
                    f"too large for a current of at most {target.current_max}",
                    node=self.neurons.name,
                    hint="lower --levels, or calibrate on more samples",
                )
            excess = excess_of(
                demand(threshold), self.neurons, target, own_thresholds=self.own_thresholds
            )
            if not excess.any():
                return threshold
            threshold = np.where(
                excess, np.floor(threshold * _SHRINK).astype(np.int64), threshold
            )

    def try_finest(self, target: Target) -> _Integers | None:
        """Return what `finest` does, `None` where nothing fits."""
        try:
            return self.finest(target)
        except RangeError:
            return None

    def unbounded(self, target: Target) -> _Integers:
        """Return the integers that only the width of the weights limits."""
        nothing = np.zeros(len(self.layers[0].weight))
        return dataclasses.replace(self, seen=(nothing, nothing)).finest(target)

    @property
    def _is_temporal(self) -> bool:
        return isinstance(self.neurons, IntegrateFire)

    def _widest(self, target: Target) -> Ints:
        """Return the thresholds at which the largest weight fills its mantissa.

        A few channels whose weights are far smaller than all others get no more than the rest,
        so that one exponent holds the thresholds of all.
        """
        filled = np.max(
            [_row_maxima(layer) / largest_weight(layer, target) for layer in self.layers], 0
        )
        used = filled[filled > 0]
        filled = np.where(filled > 0, filled, np.median(used) if used.size else 1.0)
        widest = np.minimum(1.0 / filled, largest_threshold(self.neurons, target))
        typical = np.percentile(widest, _TYPICAL).astype(np.int64)[None]
        most = target.weight_max << shared_exponent(typical, target)
        return np.minimum(widest, most).astype(np.int64)

    def _integers(self, threshold: Ints) -> _Integers:
        weights = tuple(_rounded(layer.weight, threshold) for layer in self.layers)
        low, high = self._sums(weights, threshold)
        demand = self._demand(threshold, low, high)
        return _Integers(**vars(demand), weights=weights)

    def _rough_demand(self, threshold: Ints) -> Demand:
        """Return what integers ask for, or a little less, without rounding the weights."""
        low, high = self._unrounded
        return self._demand(threshold, _ROUGHLY * low * threshold, _ROUGHLY * high * threshold)

    @functools.cached_property
    def _unrounded(self) -> Sums:
        ones = np.ones(len(self.layers[0].weight))
        return self._sums(tuple(layer.weight for layer in self.layers), ones)

    def _sums(self, weights: tuple[Array, ...], threshold: Array) -> Sums:
        """Bound the sums that weights of these thresholds receive."""
        if self.seen is not None:
            low, high = (_MARGIN * side * threshold for side in self.seen)
            return low, high
        return summed(
            [
                proved_sums(dataclasses.replace(layer, weight=weight), *limits)
                for layer, weight, limits in zip(self.layers, weights, self.ranges, strict=True)
            ]
        )

    def _demand(self, threshold: Ints, low: Array, high: Array) -> Demand:
        low = low + self.neurons.levels * _taken(_lateral(self.neurons, threshold), threshold)
        return Demand(
            threshold=threshold,
            constant=np.rint(self._constant() * threshold[:, None]).astype(np.int64),
            low=np.ceil(low).astype(np.int64),
            high=np.ceil(high).astype(np.int64),
        )

    def _constant(self) -> npt.NDArray[np.float64]:
        """Return biases and initial potential in thresholds, ``(C, 1 or positions)``."""
        constant = np.asarray(self.neurons.initial, np.float64)
        for layer in self.layers:
            constant = constant + layer.bias
        channels = len(self.layers[0].weight)
        if constant.size == 1:
            return np.full((channels, 1), constant.item())
        return constant.reshape(channels, -1)


def _row_maxima(layer: Layer) -> npt.NDArray[np.float64]:
    rows: npt.NDArray[np.float64] = np.abs(layer.weight).reshape(len(layer.weight), -1)
    return rows.max(axis=1)


def _rounded(weight: Array, scale: Array) -> Ints:
    """Return ``weight`` times ``scale`` ``(rows,)`` in narrow integers."""
    scaled = weight * scale.reshape(-1, *(1 for _ in weight.shape[1:]))
    return narrowed(np.rint(scaled, out=scaled).astype(np.int64))


def _rounded_in_runs(weight: Array, scale: Array) -> Ints:
    """Return what `_rounded` does, but let equal weights that follow one another share.

    A mean over positions has the same weight at each, and all would be rounded the same way.
    With w(i + 1) and w i rounded, and their difference taken, a run of them is off by half an
    integer in all.
    """
    rows = weight.reshape(len(weight), -1) * scale[:, None]
    starts = _starts_of_runs(weight)
    columns = np.arange(rows.shape[1])
    place = columns - np.maximum.accumulate(np.where(starts, columns, 0), axis=1)
    shared = np.rint(rows * (place + 1)) - np.rint(rows * place)
    return narrowed(shared.astype(np.int64).reshape(weight.shape))


def _starts_of_runs(weight: Array) -> npt.NDArray[np.bool_]:
    """Return where a row's weight is not that of the column before, ``(rows, columns)``."""
    rows = weight.reshape(len(weight), -1)
    starts = np.ones(rows.shape, np.bool_)
    starts[:, 1:] = rows[:, 1:] != rows[:, :-1]
    return starts


def _lateral(neurons: Spiking, threshold: Ints) -> Ints:
    """Return in integers what spikes of earlier windows take from later ones."""
    if neurons.windows == 1:
        return np.zeros((), np.int64)
    per_window = threshold.reshape(neurons.windows, 1, -1)
    return np.rint(neurons.lateral * per_window).astype(np.int64)


def _taken(lateral: Ints, threshold: Ints) -> Ints:
    """Return what one spike of each earlier window takes from a channel in all, ``(C,)``."""
    return lateral.sum(axis=1).ravel() if lateral.ndim else np.zeros_like(threshold)


def _per_channel(value: Array, threshold: Ints) -> Array:
    return np.broadcast_to(np.asarray(value).ravel(), threshold.shape)


def _loss(coarse: _Integers | None, fine: _Integers) -> float:
    """Return the share of the resolution that the typical channel loses; 1 without integers."""
    if coarse is None:
        return 1.0
    return 1.0 - float(np.median(coarse.threshold / fine.threshold))


def _with_one_exponent(threshold: Ints, target: Target) -> Ints:
    """Round down to what one synapse exponent can hold for all, where that loses little."""
    exponent = shared_exponent(threshold, target)
    fits = int(threshold.min()) >> exponent >= _STEPS_MIN
    return (threshold >> exponent) << exponent if fits else threshold


def _readout(
    graph: Graph, layers: Layers, output: Output, context: Context
) -> tuple[Node, ...]:
    target, limit = context.target, output_max(context.lowering, context.target)
    filled = [_row_maxima(layer) / largest_weight(layer, target) for layer in layers]
    scale = np.max([*filled, _proved_scale(graph, layers, limit)], axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    per_output = scale.reshape(-1, *(1 for _ in graph.shapes[layers[0].name][1:]))
    return (
        *(
            dataclasses.replace(
                layer,
                weight=_rounded_in_runs(layer.weight, 1 / scale),
                bias=np.zeros((), np.int64),
            )
            for layer in layers
        ),
        dataclasses.replace(output, scale=output.scale * per_output),
    )


def _proved_scale(graph: Graph, layers: Layers, limit: int) -> Floats:
    """Return units per integer at which no sum leaves ``limit``, rounding included."""
    ranges = [input_range(graph, layer) for layer in layers]
    inputs = [int(np.prod(layer.weight.shape[1:])) for layer in layers]
    runs = [int(_starts_of_runs(layer.weight).sum(axis=1).max()) for layer in layers]
    most = [max(-low, high) for low, high in ranges]
    room = limit - 0.5 * float(np.dot(runs, most))
    if room <= 0:
        raise RangeError(
            f"an output sums {sum(inputs)} inputs of up to {max(most)}; a current holds "
            f"at most {limit}",
            node=layers[0].name,
            hint="lower --levels, or make the last layer smaller",
        )
    sums = [proved_sums(layer, *limits) for layer, limits in zip(layers, ranges, strict=True)]
    return np.asarray(np.maximum(*summed(sums)) / room)
