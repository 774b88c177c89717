"""Twins as ONNX models: whole, from samples to answers, and the part between the two."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from targets.twin.activity import Census, emit_census
from targets.twin.ends import emit_input, emit_output, signal_type
from targets.twin.layout import Layout
from targets.twin.network import emit_entries, emit_network, entry_signal, fired_value
from targets.twin.split_model import SplitModel
from targets.twin.sums import Sum
from targets.twin.windowed import parts_of
from targets.twin.writer import ModelWriter, batch_of
from toolchain import __version__
from toolchain.ir.graph import Graph
from toolchain.ir.packing import packed_shape
from toolchain.ir.snn import Spiking

READOUT = "sums"
"""Output of `network_model`: what leaves the last layer."""


def twin_model(layout: Layout) -> SplitModel:
    """Return the whole twin: the same inputs and outputs as the source model.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
    """
    graph = layout.graph
    writer = ModelWriter()
    inputs, outputs = [], []
    for entry in graph.inputs:
        sample = entry.tensor or entry.name
        emit_input(writer, entry, sample, layout.values[entry.name])
        inputs.append(batch_of(sample, entry.dtype, entry.source_shape))
    totals = emit_network(writer, layout)
    for node, total in zip(graph.outputs, totals, strict=True):
        answer = node.tensor or node.name
        emit_output(writer, node, total.value, answer)
        outputs.append(batch_of(answer, node.dtype, graph.shapes[node.name]))
    notes = {**_notes(layout), "sums": json.dumps([total.value for total in totals])}
    return writer.finish(graph.name, inputs, outputs, notes)


def network_model(
    layout: Layout, counts: Collection[str] = (), censuses: Collection[Census] = ()
) -> SplitModel:
    """Return the twin without its ends: integers in, sums out, and the counts asked for.

    Args:
        layout: Of the network.
        counts: Populations whose values are outputs, too; where `is_limited_late`, as bytes
            that the highest level still limits.
        censuses: What is summed up of counts, an output each, behind those.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
    """
    graph, writer = layout.graph, ModelWriter()
    entry = entry_signal(layout)
    emit_entries(writer, layout)
    totals = emit_network(writer, layout)
    inputs = [batch_of(entry.value, signal_type(entry), entry.shape)]
    outputs = [_emit_readout(writer, graph, totals)]
    for node in graph.of_type(Spiking):
        if node.name in counts:
            signal = layout.signals[node.name]
            value = fired_value(layout, node)
            outputs.append(batch_of(value, signal_type(signal), signal.shape))
    for census in censuses:
        value = emit_census(writer, layout, census)
        outputs.append(batch_of(value, np.int32, (census.matrix.shape[1],)))
    return writer.finish(graph.name, inputs, outputs, {})


def _emit_readout(
    writer: ModelWriter, graph: Graph, totals: Sequence[Sum]
) -> onnx.ValueInfoProto:
    """Write the sums for all outputs as one output; several are flattened."""
    shape = packed_shape([graph.shapes[node.inputs[0]] for node in graph.outputs])
    if len(totals) == 1:
        writer.add("Identity", [totals[0].value], READOUT)
        return batch_of(READOUT, totals[0].dtype, shape)
    parts = []
    for total in totals:
        wide = writer.cast(total.value, np.int64, f"{total.value}/wide")
        parts.append(writer.reshaped(wide, [-1], f"{total.value}/flat"))
    writer.add("Concat", parts, READOUT, axis=1)
    return batch_of(READOUT, np.int64, shape)


def _notes(layout: Layout) -> Mapping[str, str]:
    """Return the metadata: what the file is, and how each population is computed."""
    graph = layout.graph
    codes = {node.tensor or node.name: vars(node.encoding) for node in graph.inputs}
    return {
        "snn-compile": __version__,
        "kind": "twin: the spike counts and answers of a compiled spiking network, bit for bit",
        "network": graph.name,
        "encodings": json.dumps(codes),
        "populations": json.dumps([_note(layout, node) for node in graph.of_type(Spiking)]),
    }


def _note(layout: Layout, node: Spiking) -> dict[str, Any]:
    form = layout.forms[node.name]
    note: dict[str, Any] = {
        "name": node.name,
        "counts": fired_value(layout, node),
        "levels": node.levels,
        "form": "sums" if isinstance(form, str) else "bytes",
    }
    if isinstance(form, str):
        return note | {"why": form}
    parts = parts_of(form)
    largest_pair = max(part.largest_pair for part in parts)
    return note | {
        "largest_sum": max(part.largest for part in parts),
        "needs_dot_product_instructions": largest_pair > np.iinfo(np.int16).max,
    }
