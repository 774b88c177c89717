"""Networks of counts as models of OpenVINO, in the form that its 8-bit kernels take."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.twin.activity import Census
from targets.twin.layout import Layout
from targets.twin.quiet_openvino import openvino
from targets.twin.quiet_openvino import opset13 as ops
from targets.twin.scaling import joins_one_by_one
from targets.twin.self_test import Case
from targets.twin.signals import BYTE_MAX, Signal
from targets.twin.window import remembers, window_of
from toolchain.bounds import Layer
from toolchain.ir.ann import Dense, MaxPool, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array, Shape
from toolchain.ir.snn import Spiking

_LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")

_LAST = "last layer "
"""What names of layers that are read out begin with."""


def network(layout: Layout, batch: int, censuses: Collection[Census] = ()) -> openvino.Model:
    """Return the network between its two ends, for batches of one length.

    Outputs are the sums, and what is summed up of counts, in float32.
    """
    graph = layout.graph
    signal = layout.signals[graph.input.name]
    kind = np.uint8 if signal.low == 0 else np.int8
    sample = ops.parameter([batch, *signal.shape], kind, name=signal.value)
    values = {graph.input.name: _as_bytes(ops.convert(sample, np.float32), signal)}
    for node in graph:
        if isinstance(node, Spiking):
            values[node.name] = _population(graph, node, values)
        elif isinstance(node, MaxPool):
            values[node.name] = _pool(node, values)
        elif isinstance(node, Rearrange):
            values[node.name] = _rearranged(node, values, layout.signals[node.name])
    layers = graph.layers_into(graph.output)
    total = _constant(sum(layer.bias for layer in layers))
    for number, layer in enumerate(layers):
        product = _sum(layer, values[layer.inputs[0]], None)
        total = ops.add(product, total)
        product.set_friendly_name(f"{_LAST}{number}")
        total.set_friendly_name(f"{_LAST}{number} with bias")
    counted = [_census(one, values[one.node], graph.shapes[one.node]) for one in censuses]
    return openvino.Model([total, *counted], [sample], graph.name)


def populations(layout: Layout, cases: Sequence[Case]) -> openvino.Model:
    """Return a model of populations by themselves, an output each.

    Its parameters are the inputs of the first, those of the second, and so on.
    """
    samples, results = [], []
    for case in cases:
        values = {}
        for name, x in case.inputs.items():
            samples.append(ops.parameter(list(x.shape), np.float32))
            values[name] = _as_bytes(samples[-1], layout.signals[name])
        results.append(_population(case.graph, case.node, values))
    return openvino.Model(results, samples, "near-ties")


def compiled(model: openvino.Model, threads: int) -> openvino.CompiledModel:
    """Return a model compiled for the CPU, for as many runs side by side as threads."""
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return _core().compile_model(model, "CPU", settings)


@functools.cache
def _core() -> openvino.Core:
    return openvino.Core()


def runs_in_bytes(model: openvino.CompiledModel) -> bool:
    """Tell whether every layer into a population adds up bytes."""
    for operation in model.get_runtime_model().get_ordered_ops():
        kind, primitive, names = (
            operation.get_rt_info()[key].astype(str)
            for key in ("layerType", "primitiveType", "originalLayersNames")
        )
        if kind in _LAYERS and not primitive.endswith("_I8") and _LAST not in names:
            return False
    return True


def _population(graph: Graph, node: Spiking, values: Mapping[str, Any]) -> Any:
    """Return the counts of a population, window by window if it remembers."""
    layers = graph.layers_into(node)
    read = [values[layer.inputs[0]] for layer in layers]
    if not remembers(node):
        return _fired(node, layers, read)
    sent: list[Any] = []
    for number in range(node.windows):
        window = window_of(node, layers, number)
        own = [_first(*pair) for pair in zip(read, window.layers, strict=True)]
        taken = [(sent[s], node.lateral[number, s]) for s in window.earlier]
        sent.append(_fired(window.neurons, window.layers, own, taken))
    return ops.concat(sent, 1)


def _fired(
    node: Spiking,
    layers: Sequence[Layer],
    read: Sequence[Any],
    taken: Sequence[tuple[Any, Array]] = (),
) -> Any:
    """Return the counts of one window, branches and inhibition added up behind the scale."""
    channels = len(layers[0].weight)
    threshold, initial, *biases = (
        np.broadcast_to(np.ravel(value), channels).astype(np.float64)
        for value in (node.threshold, node.initial, *(layer.bias for layer in layers))
    )
    column = (1, -1) if isinstance(layers[0], Dense) else (1, -1, 1, 1)
    start = (sum(biases) + initial - threshold / 2 + 0.5) / threshold
    total = _sum(layers[0], read[0], 1 / threshold)
    total = ops.add(total, _constant(start.reshape(column)))
    for layer, value in zip(layers[1:], read[1:], strict=True):
        total = ops.add(total, _sum(layer, value, 1 / threshold))
    for counts, lateral in taken:
        weight = _constant((-lateral / threshold).reshape(column))
        total = ops.add(total, ops.multiply(counts, weight))
    return _as_bytes(ops.clamp(total, 0, node.levels), Signal("", (), 0, node.levels))


def _first(value: Any, layer: Layer) -> Any:
    """Return the channels that a layer has weights for."""
    channels = layer.weight.shape[1]
    if channels == value.shape[1]:
        return value
    start, end, one = (ops.constant(np.array([at])) for at in (0, channels, 1))
    return ops.slice(value, start, end, one, one)


def _census(census: Census, value: Any, shape: Shape) -> Any:
    """Return the sums of a census; whole numbers below 2**24 add up exactly in any type."""
    if len(shape) > 1:
        value = ops.transpose(value, ops.constant(np.array([0, 2, 3, 1])))
        value = ops.reshape(value, ops.constant(np.array([0, -1])), True)
    product = ops.matmul(value, _weights(census.matrix.T, np.ones(1)), False, True)
    product.set_friendly_name(f"{_LAST}that counts {census.node}")
    return product


def _as_bytes(value: Any, signal: Signal) -> Any:
    """Mark integers as such: OpenVINO keeps them in 8 bits from here on."""
    low = 0 if signal.low == 0 else -(BYTE_MAX // 2) - 1
    ends = [_constant(low), _constant(low + BYTE_MAX)]
    return ops.fake_quantize(value, *ends, *ends, BYTE_MAX + 1)


def _sum(layer: Layer, read: Any, scale: Array | None) -> Any:
    """Return what a layer adds up, times the scale of each output."""
    weight = layer.weight
    scale = np.ones(len(weight)) if scale is None else scale
    if joins_one_by_one(layer):
        return ops.multiply(read, _constant((weight.ravel() * scale).reshape(1, -1, 1, 1)))
    if isinstance(layer, Dense):
        return ops.matmul(read, _weights(layer.weight, scale), False, True)
    (top, bottom), (left, right) = layer.padding
    geometry = list(layer.stride), [top, left], [bottom, right], list(layer.dilation)
    if layer.groups == 1:
        return ops.convolution(read, _weights(layer.weight, scale), *geometry)
    grouped = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:])
    scales = scale.reshape(layer.groups, -1)
    return ops.group_convolution(read, _weights(grouped, scales), *geometry)


def _weights(weight: Array, scale: Array) -> Any:
    """Return 8-bit weights with the scale of each output; bytes stay where they are."""
    column = scale.reshape(*scale.shape, *(1 for _ in weight.shape[scale.ndim :]))
    held = np.ascontiguousarray(weight, np.int8)
    whole = ops.convert(ops.constant(held, shared_memory=True), np.float32)
    return whole if np.all(scale == 1) else ops.multiply(whole, _constant(column))


def _pool(node: MaxPool, values: Mapping[str, Any]) -> Any:
    (top, bottom), (left, right) = node.padding
    return ops.max_pool(
        values[node.inputs[0]],
        list(node.stride),
        [1, 1],
        [top, left],
        [bottom, right],
        list(node.kernel),
    ).output(0)


def _rearranged(node: Rearrange, values: Mapping[str, Any], signal: Signal) -> Any:
    flat = ops.reshape(values[node.inputs[0]], ops.constant(np.array([0, -1])), True)
    if node.order is not None:
        chosen = ops.constant(np.maximum(node.order.ravel(), 0))
        flat = ops.gather(flat, chosen, ops.constant(1))
        if node.order.min() < 0:
            flat = ops.multiply(flat, _constant(node.order.ravel() >= 0))
    shaped = ops.reshape(flat, ops.constant(np.array([0, *node.shape])), True)
    return _as_bytes(shaped, signal)


def _constant(value: npt.ArrayLike) -> Any:
    return ops.constant(np.asarray(value, np.float32))
