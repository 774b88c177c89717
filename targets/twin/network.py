"""Writes the network between its two ends: from the integers of a sample to sums."""

from __future__ import annotations

import numpy as np

from targets.twin.ends import emit_order
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
from toolchain.ir.ann import MaxPool, Rearrange
from toolchain.ir.node import Node
from toolchain.ir.snn import Spiking


def emit_network(writer: ModelWriter, layout: Layout) -> Sum:
    """Write all nodes but the ends; return the sums ``(batch, *shape)`` that leave the last.

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
    layers, signals = layout.layers_into(graph.output)
    name = layout.values[graph.output.name]
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


def entry_signal(layout: Layout) -> Signal:
    """Return what the network reads."""
    return layout.signals[layout.graph.input.name]
