"""Writes the network between its two ends: from the integers of a sample to sums."""

from __future__ import annotations

import math

import numpy as np

from targets.twin.ends import emit_order, signal_type
from targets.twin.layout import Layout
from targets.twin.quantized import Quantized, emit_quantized
from targets.twin.signals import Signal
from targets.twin.sums import (
    Sum,
    emit_counts,
    emit_sum,
    largest_potential,
    largest_sum,
    pads,
)
from targets.twin.windowed import Windowed, emit_limit, emit_windows
from targets.twin.writer import ModelWriter
from toolchain.ir.ann import MaxPool, Output, Rearrange
from toolchain.ir.ends import encoded_shape
from toolchain.ir.node import Node
from toolchain.ir.snn import Spiking


def emit_network(writer: ModelWriter, layout: Layout) -> list[Sum]:
    """Write all nodes but the ends; return the sums ``(batch, *shape)`` for each output.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
    """
    graph = layout.graph
    for node in graph:
        if isinstance(node, Spiking):
            emit_population(writer, layout, node)
        elif isinstance(node, MaxPool):
            _emit_pool(writer, layout, node)
        elif isinstance(node, Rearrange):
            source, target = layout.signals[node.inputs[0]], layout.signals[node.name]
            emit_order(writer, source, node.order, node.shape, target.value)
    return [_emit_sums(writer, layout, node) for node in graph.outputs]


def _emit_sums(writer: ModelWriter, layout: Layout, node: Output) -> Sum:
    layers, signals = layout.layers_into(node)
    name = layout.values[node.name]
    total = emit_sum(writer, name, layers, signals, largest_sum(layers, signals))
    wide = np.int64 if total.dtype is np.float64 else np.int32
    return Sum(writer.cast(total.value, wide, f"{name}/integers"), wide)


def emit_population(writer: ModelWriter, layout: Layout, node: Spiking) -> None:
    """Write a population under its value's name, or unlimited under `fired_value`."""
    name, form = layout.values[node.name], layout.forms[node.name]
    layers, signals = layout.layers_into(node)
    if isinstance(form, Quantized):
        emit_quantized(writer, form, signals, name)
        if not layout.is_limited_late(node):
            emit_limit(writer, f"{name}/fired", name, node.levels)
    elif isinstance(form, Windowed):
        emit_windows(writer, form, node, signals, name)
    else:
        total = emit_sum(
            writer, name, layers, signals, largest_potential(node, layers, signals)
        )
        emit_counts(writer, node, total, name)


def fired_value(layout: Layout, node: Spiking) -> str:
    """Return the value that holds a population's counts, if need be without their limit."""
    name = layout.values[node.name]
    return f"{name}/fired" if layout.is_limited_late(node) else name


def _emit_pool(writer: ModelWriter, layout: Layout, node: MaxPool) -> None:
    source: Node = layout.graph.producer(node)
    name, read = layout.values[node.name], layout.signals[source.name]
    is_late = isinstance(source, Spiking) and layout.is_limited_late(source)
    value = fired_value(layout, source) if isinstance(source, Spiking) else read.value
    pooled = writer.add(
        "MaxPool",
        [value],
        f"{name}/pooled" if is_late else name,
        kernel_shape=list(node.kernel),
        strides=list(node.stride),
        pads=pads(node.padding),
    )
    if is_late and isinstance(source, Spiking):
        emit_limit(writer, pooled, name, source.levels)


ENTRY = "inputs"
"""Value of encoded samples that hold several inputs."""


def entry_signal(layout: Layout) -> Signal:
    """Return what encoded samples are: what the network reads, of several inputs packed."""
    signals = [layout.signals[node.name] for node in layout.graph.inputs]
    if len(signals) == 1:
        return signals[0]
    low, high = min(one.low for one in signals), max(one.high for one in signals)
    return Signal(ENTRY, encoded_shape(layout.graph), low, high)


def emit_entries(writer: ModelWriter, layout: Layout) -> None:
    """Write how packed samples become what each of several inputs gives to the network."""
    packed, first = entry_signal(layout), 0
    if len(layout.graph.inputs) == 1:
        return
    wide = writer.cast(packed.value, np.int32, f"{packed.value}/wide")
    for node in layout.graph.inputs:
        signal = layout.signals[node.name]
        name, end = signal.value, first + math.prod(node.shape)
        starts = writer.constant(f"{name}/start", [first], np.int64)
        ends = writer.constant(f"{name}/end", [end], np.int64)
        axes = writer.constant(f"{name}/axis", [1], np.int64)
        part = writer.add("Slice", [wide, starts, ends, axes], f"{name}/part")
        shift = writer.constant(
            f"{name}/shift", signal.zero_point - packed.zero_point, np.int32
        )
        part = writer.add("Add", [part, shift], f"{name}/shifted")
        part = writer.cast(part, signal_type(signal), f"{name}/narrow")
        writer.reshaped(part, node.shape, name)
        first = end
