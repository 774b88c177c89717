"""Twins as ONNX models: whole, from samples to answers, and the part between the two."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx

from targets.twin.activity import Census, emit_census
from targets.twin.ends import emit_input, emit_output, signal_type
from targets.twin.layout import Layout
from targets.twin.network import emit_network, entry_signal, fired_value
from targets.twin.windowed import Windowed
from targets.twin.writer import ModelWriter, batch_of
from toolchain import __version__
from toolchain.ir.snn import Spiking

READOUT = "sums"
"""Output of `network_model`: what leaves the last layer."""


def twin_model(layout: Layout) -> onnx.ModelProto:
    """Return the whole twin: the same input and output as the source model.

    Raises:
        EmitError: No type of ONNX holds the sums of a layer exactly.
    """
    graph = layout.graph
    entry, node = graph.input, graph.output
    sample, answer = entry.tensor or entry.name, node.tensor or node.name
    writer = ModelWriter()
    emit_input(writer, entry, sample, layout.values[entry.name])
    total = emit_network(writer, layout)
    emit_output(writer, node, total.value, answer)
    inputs = [batch_of(sample, entry.dtype, entry.source_shape)]
    outputs = [batch_of(answer, node.dtype, graph.shapes[node.name])]
    notes = {**_notes(layout), "sums": total.value}
    return writer.finish(graph.name, inputs, outputs, notes)


def network_model(
    layout: Layout, counts: Collection[str] = (), censuses: Collection[Census] = ()
) -> onnx.ModelProto:
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
    total = emit_network(writer, layout)
    sums = writer.add("Identity", [total.value], READOUT)
    inputs = [batch_of(entry.value, signal_type(entry), entry.shape)]
    outputs = [batch_of(sums, total.dtype, graph.shapes[graph.producer(graph.output).name])]
    for node in graph.of_type(Spiking):
        if node.name in counts:
            signal = layout.signals[node.name]
            value = fired_value(layout, node)
            outputs.append(batch_of(value, signal_type(signal), signal.shape))
    for census in censuses:
        value = emit_census(writer, layout, census)
        outputs.append(batch_of(value, np.int32, (census.matrix.shape[1],)))
    return writer.finish(graph.name, inputs, outputs, {})


def _notes(layout: Layout) -> Mapping[str, str]:
    """Return the metadata: what the file is, and how each population is computed."""
    graph = layout.graph
    code = graph.input.encoding
    return {
        "snn-compile": __version__,
        "kind": "twin: the spike counts and answers of a compiled spiking network, bit for bit",
        "network": graph.name,
        "encoding": json.dumps(vars(code)),
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
    parts = form.windows if isinstance(form, Windowed) else (form,)
    largest_pair = max(part.largest_pair for part in parts)
    return note | {
        "largest_sum": max(part.largest for part in parts),
        "needs_dot_product_instructions": largest_pair > np.iinfo(np.int16).max,
    }
