"""Spikes and synaptic operations of populations, summed up by the twin itself.

What a spike costs depends on the neuron alone: its synaptic operations are the weights other
than 0 behind it, fewer at the borders of a padded convolution. So the operations of a sample
are the product of its counts with the fan-outs, a matrix of few columns: ones for the spikes,
and the fan-outs in digits that fit 8 bits, for each window apart. The counts leave the model as
these few sums, and nothing else is moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.simulator._fan_out import fan_out
from targets.simulator._layout import from_rows
from targets.simulator._senders import stands_for, windows_of
from targets.twin.layout import Layout
from targets.twin.network import fired_value
from targets.twin.windowed import emit_limit
from targets.twin.writer import ModelWriter
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Injection
from toolchain.ir.node import IndexArray
from toolchain.ir.snn import Spiking

Ints = npt.NDArray[np.int64]

_SUM_MAX, _FLOAT_MAX = 2**31 - 1, 2**24 - 1
_PAIR_MAX = 2**15 - 1
_DIGIT_MAX = 128


@dataclass(frozen=True, eq=False)
class FanOuts:
    """How many synapses a spike meets.

    Attributes:
        nodes: By node of the graph, pools included, ``shape`` of the node; with what is behind
            those that repeat its spikes a step later.
        repeats: By node, how many populations send its spikes, itself included.
        payload: Behind each number of an encoded sample, in their order.
        constant_spikes: Payloads that constant sources send for every sample.
        constant_operations: Their synaptic operations.
        constant_graded: Those of them that graded spikes cause.
    """

    nodes: Mapping[str, IndexArray]
    repeats: Mapping[str, int]
    payload: IndexArray
    constant_spikes: int
    constant_operations: int
    constant_graded: int


def fan_outs(graph: Graph, circuit: Circuit) -> FanOuts | None:
    """Return the fan-outs of a circuit; `None` where counts do not tell what it sends.

    That is so for populations that the graph has not, unless they repeat one that it has, for
    those whose copies differ, and for binary numbers.
    """
    silent = {readout.population for readout in circuit.readouts}
    names = (population.name for population in circuit.populations)
    senders = [name for name in names if name not in silent]
    nodes_of = {name: stands_for(circuit, name, graph) for name in senders}
    if set(senders) - circuit.windows.keys() or not all(nodes_of.values()):
        return None
    nodes: dict[str, IndexArray] = {}
    repeats: dict[str, int] = {}
    for name in senders:
        node, window, fan = nodes_of[name], circuit.windows[name], _fan_out(circuit, name)
        copies = fan.reshape(graph.shapes[node][0], window.copies, *fan.shape[1:])
        if window.is_radix or (copies != copies[:, :1]).any():
            return None
        nodes[node] = nodes.get(node, 0) + copies[:, 0]
        repeats[node] = repeats.get(node, 0) + 1
    constants = [source for source in circuit.sources if source.name not in circuit.inputs]
    sent = {
        source.name: sum((values != 0).astype(np.int64) for _, values in source.events)
        for source in constants
    }
    operations = {
        source.name: int((sent[source.name] * _fan_out(circuit, source.name)).sum())
        for source in constants
    }
    return FanOuts(
        nodes=nodes,
        repeats=repeats,
        payload=np.concatenate([_fan_out(circuit, name).ravel() for name in circuit.inputs]),
        constant_spikes=sum(int(np.sum(spikes)) for spikes in sent.values()),
        constant_operations=sum(operations.values()),
        constant_graded=sum(operations[s.name] for s in constants if s.message_bits),
    )


def _fan_out(circuit: Circuit, name: str) -> IndexArray:
    """Return the weights other than 0 behind every neuron, ``(*shape,)``."""
    shape = circuit.nodes[name].shape
    rows = [
        fan_out(synapse, shape, circuit.nodes[synapse.target].shape)
        for synapse in circuit.synapses
        if synapse.source == name and not isinstance(synapse, Injection)
    ]
    return (
        from_rows(np.sum(rows, axis=0, dtype=np.int64), shape) if rows else np.zeros(shape, int)
    )


@dataclass(frozen=True, eq=False)
class Census:
    """A matrix whose product with the counts of a node has all that is counted of it.

    Attributes:
        node: Name of the node.
        windows: Of its population.
        base: Of the digits of fan-outs.
        matrix: ``(neurons, windows * (1 + digits))``, neurons with their channels last.
        is_short: Whether float32 holds all sums, too.
    """

    node: str
    windows: int
    base: int
    matrix: npt.NDArray[np.int8]
    is_short: bool

    def read(self, sums: npt.NDArray[Any]) -> tuple[Ints, Ints]:
        """Return spikes by window ``(samples, windows)``, and operations ``(samples,)``."""
        by_window = sums.astype(np.int64).reshape(len(sums), -1, self.windows)
        spikes, digits = by_window[:, 0], by_window[:, 1:].sum(axis=2)
        worth = self.base ** np.arange(digits.shape[1], dtype=np.int64)
        return spikes, digits @ worth


def censuses(layout: Layout, found: FanOuts) -> Sequence[Census] | None:
    """Return how each node is counted; `None` if one does not send bytes."""
    made = []
    for name, fan in found.nodes.items():
        signal = layout.signals[name]
        if not signal.is_bytes:
            return None
        made.append(census_of(name, fan, signal.high, windows_of(layout.graph, name)))
    return made


def census_of(name: str, fan: IndexArray, levels: int, windows: int) -> Census:
    """Return how a node is counted whose neurons meet ``fan`` synapses, ``(*shape,)``.

    Digits are small enough for sums of two products to fit 16 bits, and all sums 24 bits if
    those of the spikes do, else 32.
    """
    largest = fan.size * levels
    is_short = largest <= _FLOAT_MAX
    sum_max = _FLOAT_MAX if is_short else _SUM_MAX
    base = min(_DIGIT_MAX, _PAIR_MAX // (2 * levels) + 1, sum_max // largest + 1)
    columns, rest = [np.ones_like(fan)], fan
    while rest.any():
        columns.append(rest % base)
        rest = rest // base
    window = np.arange(len(fan)) * windows // len(fan)
    is_in = (window == np.arange(windows)[:, None]).reshape(windows, -1, *(1,) * (fan.ndim - 1))
    cut = [column * is_in[own] for column in columns for own in range(windows)]
    last = [np.moveaxis(column, 0, -1).ravel() for column in cut]
    return Census(name, windows, base, np.stack(last, axis=1).astype(np.int8), is_short)


def census_value(layout: Layout, census: Census) -> str:
    """Return the value of the model that holds the sums of a census."""
    return f"{layout.values[census.node]}/census"


def emit_census(writer: ModelWriter, layout: Layout, census: Census) -> str:
    """Write the sums of a census; channels go last, where quantized layers have them anyway."""
    node, name = layout.graph[census.node], census_value(layout, census)
    value = layout.values[census.node]
    if isinstance(node, Spiking) and layout.is_limited_late(node):
        value = fired_value(layout, node)
        emit_limit(writer, value, f"{name}/limited", node.levels)
        value = f"{name}/limited"
    if len(layout.graph.shapes[census.node]) == 3:
        value = writer.add("Transpose", [value], f"{name}/last", perm=[0, 2, 3, 1])
    value = writer.reshaped(value, [-1], f"{name}/flat")
    matrix = writer.constant(f"{name}/matrix", census.matrix, np.int8)
    return writer.add("MatMulInteger", [value, matrix], name)
