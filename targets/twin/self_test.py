"""Near-ties: each population run on the machine at hand, where wrong arithmetic would show.

The proofs of `staircase` and `sums` rest on what a runtime does: that its sums do not saturate
half way (CPUs without dot products of bytes), that a product is rounded once, that a kernel is
chosen which adds up integers. So each population is run by itself, on inputs that drive its
sums to their ends, with biases moved so that in every channel some neuron just reaches a
threshold, or just misses it. What it is to give is known from the plain evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from targets.twin.ends import signal_type
from targets.twin.layout import Layout, lay_out
from targets.twin.network import emit_population, fired_value
from targets.twin.sessions import run_once
from targets.twin.signals import Signal
from targets.twin.writer import ModelWriter, batch_of
from toolchain.bounds import Layer
from toolchain.heap import trim_heap
from toolchain.ir.ann import Conv
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array
from toolchain.ir.snn import Spiking

Values: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A population with biases that bring it next to its steps, and what it is to give.

    Attributes:
        graph: With the moved biases.
        node: The population.
        inputs: What its layers read, ``(samples, *shape)`` by node.
        counts: Its spike counts.
    """

    graph: Graph
    node: Spiking
    inputs: Mapping[str, Values]
    counts: Values


RunCases: TypeAlias = Callable[[Layout, Iterable[Case]], Iterable[tuple[Case, Values]]]
"""Runs populations by themselves and returns their spike counts, one after the other."""

_RANDOM_SAMPLES = 2
_MANY_CHANNELS = 64
"""From here on neighbouring channels are enough to meet a step from both sides."""


def failures(layout: Layout, run: RunCases) -> frozenset[str]:
    """Return the names of the populations that a runtime does not count right."""
    nodes = layout.graph.of_type(Spiking)
    cases = (case for node in nodes for case in _cases(layout, node))
    failed = frozenset(
        case.node.name
        for case, found in run(layout, cases)
        if not np.array_equal(np.minimum(found, case.node.levels), case.counts)
    )
    trim_heap()
    return failed


def _cases(layout: Layout, node: Spiking) -> Iterator[Case]:
    inputs = _inputs(layout, node)
    layers = layout.graph.layers_into(node)
    values = [count(layer, inputs[layer.inputs[0]].astype(np.float64)) for layer in layers]
    sums = np.sum(values, axis=0)
    for misses in (0, 1) if sums.shape[1] < _MANY_CHANNELS else (0,):
        shift = _shift_of_windows(node, sums, misses)
        moved = layout.graph.swap(replace(layers[0], bias=layers[0].bias + shift))
        yield Case(moved, node, inputs, count(node, sums + shift))


def _inputs(layout: Layout, node: Spiking) -> dict[str, Values]:
    """Return what a population's layers read, by node: extremes, and random numbers."""
    random = np.random.default_rng(0)
    inputs: dict[str, Values] = {}
    for layer in layout.graph.layers_into(node):
        signal = layout.signals[layer.inputs[0]]
        rises = _signs(layer, signal.shape[0]) > 0
        up = np.where(
            rises.reshape(-1, *(1 for _ in signal.shape[1:])), signal.high, signal.low
        )
        shape = (_RANDOM_SAMPLES, *signal.shape)
        inputs[layer.inputs[0]] = np.concatenate(
            [
                np.full((1, *signal.shape), signal.high),
                np.broadcast_to(up, (1, *signal.shape)),
                np.broadcast_to(signal.high + signal.low - up, (1, *signal.shape)),
                random.integers(signal.low, signal.high + 1, shape),
            ]
        )
    return inputs


def _signs(layer: Layer, channels: int) -> Array:
    """Return which way each input channel drives the first output, ``(channels,)``."""
    if not isinstance(layer, Conv):
        return layer.weight[0]
    signs = np.ones(channels, np.int64)
    signs[: layer.weight.shape[1]] = layer.weight[0].sum(axis=(1, 2))
    return signs


def _as_fed(x: Values, signal: Signal) -> Values:
    return (x + signal.zero_point).astype(signal_type(signal))


def _shift_of_windows(node: Spiking, sums: Values, misses: int) -> Values:
    """Return what `_shift` does for each window, with what the earlier ones take from it."""
    shift, left = _shift(node, sums, misses), sums.copy()
    channels = len(shift) // node.windows
    for window in range(1, node.windows if np.any(node.lateral) else 1):
        counts = count(node, sums + shift).reshape(len(sums), node.windows, channels, -1)
        taken = np.einsum("sc,nscp->ncp", node.lateral[window], counts)
        own = slice(window * channels, (window + 1) * channels)
        left[:, own] -= taken.reshape(left[:, own].shape)
        shift[own] = _shift(node, left, misses)[own]
    return shift


def _shift(node: Spiking, sums: Values, misses: int) -> Values:
    """Return what, added to a channel's bias, brings one of its neurons next to a step.

    Channel by channel it is another sample, another position and another step, and every other
    channel reaches it, or misses it if ``misses`` is 1.
    """
    channels = np.arange(sums.shape[1])
    flat = sums.reshape(*sums.shape[:2], -1)
    chosen = flat[channels % len(sums), channels, (7 * channels) % flat.shape[2]]
    threshold, initial = (
        np.broadcast_to(np.ravel(value), channels.shape)
        for value in (node.threshold, node.initial)
    )
    wanted = (1 + channels % node.levels) * threshold - (channels + misses) % 2
    shift = (wanted - initial - chosen).astype(np.int64)
    return shift.reshape(-1, *(1 for _ in sums.shape[2:]))


def run_cases(layout: Layout, cases: Iterable[Case]) -> Iterator[tuple[Case, Values]]:
    """Run populations in onnxruntime."""
    return ((case, _run(layout, case)) for case in cases)


def _run(layout: Layout, case: Case) -> Values:
    kept = frozenset(name for name, form in layout.forms.items() if isinstance(form, str))
    tested = lay_out(case.graph, exact_sums=kept, only=case.node.name)
    writer = ModelWriter()
    emit_population(writer, tested, case.node)
    sent, read = layout.signals[case.node.name], [layout.signals[name] for name in case.inputs]
    model = writer.finish(
        "near-ties",
        [batch_of(signal.value, signal_type(signal), signal.shape) for signal in read],
        [batch_of(fired_value(tested, case.node), signal_type(sent), sent.shape)],
        {},
    )
    fed = {
        layout.values[name]: _as_fed(x, layout.signals[name]) for name, x in case.inputs.items()
    }
    return run_once(model, fed)
