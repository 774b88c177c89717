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

Where thresholds are chosen, scaled weights are rounded to float32 as the model's own are, which
is tens of thousands of times finer than what integers make of them. Networks that count the
steps of a quantized model have exact thresholds, and float64.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.calibration import Calibration
from toolchain.conversion import METHODS
from toolchain.encoding import choose_encoding
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Input, MaxPool, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node
from toolchain.ir.reference import encode
from toolchain.ir.snn import LmHt, MultiThreshold, Spiking
from toolchain.ir.staircase import Staircase
from toolchain.registers import largest_weight
from toolchain.rewriting import Context, compiler_pass

Floats: TypeAlias = npt.NDArray[np.float64]

_RESOLUTION_MIN = 16
_SUMS_MIN = 4
_ACTIVATIONS = (Relu, Staircase)


@compiler_pass("convert-to-spikes", phase=Phase.CONVERT)
def convert_to_spikes(graph: Graph, context: Context) -> Graph:
    """Replace every `Relu` with a `MultiThreshold` and scale the layers to spike counts.

    A `Staircase` becomes one with its own steps and no calibration: its neurons are exact, but
    for sums exactly between two steps, which they round up.

    Raises:
        ConversionError: The network has not been calibrated, and needs to be.
    """
    if _is_converted(graph):
        return graph
    if context.calibration is None and any(node.encoding is None for node in graph.inputs):
        if not any(isinstance(node, _ACTIVATIONS) for node in graph):
            return graph
        raise ConversionError("there are no calibration samples to choose thresholds from")
    conversion = _Conversion(graph, context, context.calibration or Calibration(np.zeros(0)))
    for node in graph:
        conversion.convert(node)
    return graph.with_nodes(conversion.nodes.values())


def _is_converted(graph: Graph) -> bool:
    """Tell whether nothing is left to convert: activations, an input, biases of the last."""
    if any(isinstance(node, (LmHt, Spiking)) for node in graph):
        return True
    if any(node.encoding is None for node in graph.inputs):
        return False
    if any(isinstance(node, _ACTIVATIONS) for node in graph):
        return False
    last = (layer for node in graph.outputs for layer in graph.layers_into(node))
    return not any(np.any(layer.bias) for layer in last)


@dataclasses.dataclass
class _Conversion:
    """The nodes converted so far, and what a unit stands for behind each of them."""

    graph: Graph
    context: Context
    calibration: Calibration
    nodes: dict[str, Node] = dataclasses.field(default_factory=dict)
    units: dict[str, Floats] = dataclasses.field(default_factory=dict)

    def convert(self, node: Node) -> None:
        """Convert the next node, and the layers before it if it is one that reads their sum."""
        unit = np.ones(())
        if isinstance(node, Input) and node.encoding is None:
            encoding = choose_encoding(encode(node, self.calibration.x))
            node, unit = dataclasses.replace(node, encoding=encoding), np.array(encoding.scale)
        elif isinstance(node, (Dense, Conv)):
            node = self._per_step(node, self.units[node.inputs[0]])
        elif isinstance(node, Relu):
            layers = [self.nodes[layer.name] for layer in self.graph.layers_into(node)]
            unit = self._thresholds(node, layers)
            self.nodes |= {layer.name: self._per_threshold(layer, unit) for layer in layers}
            node = _neurons(node, self.context.levels, unit)
        elif isinstance(node, Staircase):
            start = 0.0 if node.rounds_down else 0.5
            node = _neurons(node, int(node.high), unit, start)
        elif isinstance(node, Output):
            layers = [self.nodes[layer.name] for layer in self.graph.layers_into(node)]
            node = _read_out(node, layers)
            self.nodes |= {layer.name: _without_bias(layer) for layer in layers}
        elif isinstance(node, (MaxPool, Rearrange)):
            unit = _passed(node, self.units[node.inputs[0]], self.graph)
        self.nodes[node.name], self.units[node.name] = node, unit

    def _thresholds(self, node: Relu, layers: list[Node]) -> Floats:
        """Return the thresholds of the neurons for a rectifier, ``(C, 1, 1)`` or ``(N,)``."""
        statistics, levels = self.calibration.activations[node.name], self.context.levels
        is_shared = _mixes_channels(self.graph, node)
        if is_shared:
            statistics = statistics.as_one_channel()
        thresholds = METHODS[self.context.method](statistics, levels)
        outgoing = _outgoing(self.graph, node, len(thresholds))
        thresholds = _without_dead(thresholds, outgoing)
        limits = np.ravel(node.maximum) / levels
        thresholds = np.minimum(thresholds, limits.min() if is_shared else limits)
        for layer in layers:
            thresholds = np.maximum(thresholds, _resolvable(layer, self.context))
        if np.ndim(node.maximum):  # pieces of a function, which ends where the next begins
            thresholds = np.minimum(thresholds, limits.min() if is_shared else limits)
        thresholds = np.maximum(thresholds, sum(self._least(layer) for layer in layers))
        if is_shared:
            thresholds = np.full_like(thresholds, thresholds.max())
        return thresholds.reshape(-1, *(1 for _ in self.graph.shapes[node.name][1:]))

    def _least(self, layer: Node) -> Floats:
        """Return thresholds at which sums fit a current however inputs come, ``(C,)``.

        It matters for channels that are hardly ever active, and for the negative ones of
        values that are hardly ever negative.
        """
        if not isinstance(layer, (Dense, Conv)):
            raise TypeError(f"{layer.name} is no layer")
        feeder = self.graph.feeder(self.graph[layer.name])
        source = self.nodes[feeder.name] if feeder is not None else None
        most = float(getattr(source, "levels", 0))
        if isinstance(source, Input) and source.encoding is not None:
            most = float(max(source.encoding.high, -source.encoding.low))
        total = np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1)
        return _SUMS_MIN * most * total / self.context.target.current_max

    def _per_step(self, layer: Dense | Conv, unit: Floats) -> Dense | Conv:
        """Return the layer for inputs in units of ``unit`` instead of 1."""
        if isinstance(layer, Dense):
            return dataclasses.replace(layer, weight=self._scaled(layer.weight, unit))
        channels = layer.weight.shape[1] * layer.groups
        per_group = np.broadcast_to(unit.ravel(), channels).reshape(layer.groups, 1, -1, 1, 1)
        grouped = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:])
        weight = self._scaled(grouped, per_group).reshape(layer.weight.shape)
        return dataclasses.replace(layer, weight=weight)

    def _per_threshold(self, layer: Node, threshold: Floats) -> Node:
        """Return the layer with its outputs in units of the thresholds they meet."""
        if not isinstance(layer, (Dense, Conv)):
            raise TypeError(f"{layer.name} is no layer")
        per_row = threshold.reshape(-1, *(1 for _ in layer.weight.shape[1:]))
        bias = threshold.ravel() if isinstance(layer, Dense) else threshold
        return dataclasses.replace(
            layer, weight=self._scaled(layer.weight, 1 / per_row), bias=layer.bias / bias
        )

    def _scaled(self, weight: Array, factor: Floats) -> Array:
        """Return weights times ``factor``, in float64 if they need it."""
        if not self.graph.of_type(Staircase):
            scaled = np.empty(weight.shape, np.float32)
            with np.errstate(over="ignore"):
                np.multiply(weight, factor, out=scaled)
            if np.isfinite(scaled).all():
                return scaled
        return weight.astype(np.float64) * factor


def _neurons(node: Node, levels: int, unit: Floats, start: float = 0.5) -> MultiThreshold:
    return MultiThreshold(
        name=node.name,
        inputs=node.inputs,
        origin=node.origin,
        levels=levels,
        initial=np.asarray(start),
        unit=unit,
    )


def _mixes_channels(graph: Graph, node: Node) -> bool:
    """Tell whether neurons of several channels become one channel of a convolution's input."""
    for user in graph.users(node.name):
        if isinstance(user, Rearrange) and len(user.shape) == 3 and user.order is not None:
            positions = int(np.prod(graph.shapes[node.name][1:]))
            channels = (user.order // positions).reshape(user.shape[0], -1)
            highest = channels.max(axis=1, keepdims=True)
            if bool(np.any((channels != highest) & (channels >= 0))):
                return True
        if isinstance(user, (MaxPool, Rearrange)) and _mixes_channels(graph, user):
            return True
    return False


def _without_dead(thresholds: Floats, outgoing: Floats) -> Floats:
    """Give channels that are never active the threshold of the middle one of the others.

    Or a lower one, at which a spike of theirs weighs no more than one of another channel:
    integers are shared out by the largest weight, and silent channels should not decide it.

    Args:
        thresholds: ``(C,)``, 0 for channels that are never active.
        outgoing: Largest weight that reads each channel, ``(C,)``.
    """
    is_active = thresholds > 0
    if not is_active.any():
        return np.ones_like(thresholds)
    typical = np.median((thresholds * outgoing)[is_active])
    lower = np.divide(typical, outgoing, out=np.full_like(outgoing, np.inf), where=outgoing > 0)
    middle = np.median(thresholds[is_active])
    silent = np.minimum(middle, np.where(lower > 0, lower, middle))
    return np.where(is_active, thresholds, silent)


def _outgoing(graph: Graph, node: Node, channels: int) -> Floats:
    """Return the largest weight that reads each channel, past pools, ``(C,)``."""
    largest = np.zeros(channels)
    for user in graph.users(node.name):
        if isinstance(user, MaxPool) or (isinstance(user, Rearrange) and user.order is None):
            columns = _outgoing(graph, user, channels)
        elif isinstance(user, Conv):
            by_group = np.abs(user.weight).reshape(user.groups, -1, *user.weight.shape[1:])
            columns = by_group.max(axis=(1, 3, 4)).ravel()
        elif isinstance(user, Dense):
            columns = np.abs(user.weight).max(axis=0).reshape(channels, -1).max(axis=1)
        else:
            continue
        if len(columns) == channels:
            largest = np.maximum(largest, columns)
    return largest


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
    widest = largest_weight(layer, target)
    return _RESOLUTION_MIN * np.maximum(weight / widest, bias / room)


def _passed(node: Node, unit: Floats, graph: Graph) -> Floats:
    """Return the units behind a node that only passes counts on."""
    if not isinstance(node, Rearrange) or unit.ndim == 0:
        return unit
    order = np.arange(int(np.prod(node.shape))) if node.order is None else node.order.ravel()
    flat = np.broadcast_to(unit, graph.shapes[node.inputs[0]]).ravel()
    units = np.where(order < 0, np.nan, flat[order]).reshape(node.shape)
    if len(node.shape) == 1:
        return np.nan_to_num(units, nan=1.0)
    per_channel = np.nan_to_num(units, nan=0.0).max(axis=(1, 2), keepdims=True)
    per_channel = np.where(per_channel > 0, per_channel, 1.0)
    is_uniform = np.isnan(units) | (units == per_channel)
    return per_channel if bool(is_uniform.all()) else np.nan_to_num(units, nan=1.0)


def _read_out(node: Output, layers: list[Node]) -> Output:
    """Move the biases of the last layers to the host."""
    bias = sum(np.asarray(getattr(layer, "bias", 0.0), np.float64) for layer in layers)
    return dataclasses.replace(node, offset=np.asarray(node.offset + node.scale * bias))


def _without_bias(layer: Node) -> Dense | Conv:
    if not isinstance(layer, (Dense, Conv)):
        raise TypeError(f"{layer.name} is no layer")
    return dataclasses.replace(layer, bias=np.zeros(()))
