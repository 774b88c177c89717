"""What a graph computes, in float64: the meaning of every primitive, at any phase.

Slow and plain on purpose; everything faster is compared with it. Integers up to 2**53 are
exact, so the same code is the reference of the quantized network.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    HostOp,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.convolution import convolve, largest_in_windows, windows
from toolchain.ir.exact_products import exact_kind
from toolchain.ir.graph import Graph
from toolchain.ir.host_operations import on_host
from toolchain.ir.node import IndexArray, Node
from toolchain.ir.packing import pack
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import (
    IntegrateFire,
    LmHt,
    MultiThreshold,
    OrPool,
    RadixFire,
    RadixPool,
    Spiking,
    ThresholdBank,
)
from toolchain.ir.staircase import Staircase
from toolchain.ir.train import Train, counted
from toolchain.ir.windows import run_windows

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Values of several windows.

    Attributes:
        values: ``(batch, windows, *shape)``.
    """

    values: Floats


Value: TypeAlias = Floats | Train | Windows


def evaluate(
    graph: Graph, x: npt.NDArray[np.generic], given: Mapping[str, Value] | None = None
) -> Mapping[str, Value]:
    """Return the output of every node.

    Args:
        graph: At any phase.
        x: ``(batch, *source_shape)``, in the units of the model's input.
        given: Outputs to take as they are instead of computing them, by node name.

    Returns:
        By node name: ``(batch, *shape)``, or a `Train` for lowered neurons and what pools them.
    """
    values: dict[str, Value] = dict(given or {})
    for node in graph:
        if node.name in values:
            continue
        inputs = [values[source] for source in node.inputs]
        values[node.name] = output_of(node, *(inputs or [np.asarray(x, np.float64)]))
    return values


def output_of(node: Node, *inputs: Value) -> Value:
    """Compute a node in every window by itself, unless it knows of windows."""
    if isinstance(node, Add):
        return _sum(inputs)
    if isinstance(node, Concat):
        return _joined(inputs)
    (x,) = inputs
    if not isinstance(x, Windows) or isinstance(node, LmHt):
        return compute(node, x)
    if isinstance(node, Output):
        return compute(node, x.values.mean(axis=1))
    batch, windows = x.values.shape[:2]
    y = counts_of(compute(node, x.values.reshape(batch * windows, *x.values.shape[2:])))
    return Windows(y.reshape(batch, windows, *y.shape[1:]))


def _joined(inputs: Sequence[Value]) -> Value:
    """Put channels one after the other; what is the same in all windows goes into each."""
    if not any(isinstance(x, Windows) for x in inputs):
        return np.concatenate([counts_of(x) for x in inputs], axis=1)
    windows = next(x.values.shape[1] for x in inputs if isinstance(x, Windows))
    each = (
        x.values if isinstance(x, Windows) else np.stack([counts_of(x)] * windows, axis=1)
        for x in inputs
    )
    return Windows(np.concatenate(list(each), axis=2))


def _sum(inputs: Sequence[Value]) -> Value:
    """Add values up; what is the same in all windows is added in each."""
    if not any(isinstance(x, Windows) for x in inputs):
        return functools.reduce(np.add, map(counts_of, inputs))
    each = [x.values if isinstance(x, Windows) else counts_of(x)[:, None] for x in inputs]
    return Windows(functools.reduce(np.add, each))


def run(graph: Graph, x: npt.NDArray[np.generic]) -> Floats:
    """Return the answers ``(batch, *shape)`` of the model for ``x`` ``(batch, *shape)``.

    See ``toolchain.ir.ends`` for samples and answers of several inputs and outputs.
    """
    return answers_of(graph, evaluate(graph, x))


def answers_of(graph: Graph, values: Mapping[str, Value]) -> Floats:
    """Return the answers ``(batch, *shape)`` among the outputs of all nodes."""
    return pack([counts_of(values[node.name]) for node in graph.outputs])


def spike_counts(graph: Graph, x: npt.NDArray[np.generic]) -> dict[str, Floats]:
    """Return the spike counts ``(batch, *shape)`` of every population, by node name."""
    values = evaluate(graph, x)
    return {node.name: counts_of(values[node.name]) for node in graph.of_type(Spiking)}


def counts_of(value: Value) -> Floats:
    """Return spike counts of a train, windows as channels, and other values as they are."""
    if isinstance(value, Windows):
        batch, windows, channels, *positions = value.values.shape
        return value.values.reshape(batch, windows * channels, *positions)
    return value.counts if isinstance(value, Train) else value


def encode(node: Input, x: npt.NDArray[np.generic]) -> Floats:
    """Return what enters the network: ``x`` in channel-first order, as integers if encoded.

    Args:
        node: The input.
        x: Samples, or windows of them, ``(samples, ...)``, with all inputs of the model.
    """
    y = np.asarray(entering(node, x), np.float64)
    if node.encoding is not None:
        code = node.encoding
        y = np.clip(np.rint(y / code.scale), code.low, code.high)
    return y.reshape(len(x), *node.shape)


def entering(node: Input, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what an input reads of samples, ``(samples, N)`` in its order, not yet encoded."""
    end = node.offset + math.prod(node.source_shape)
    return gather(x.reshape(len(x), -1)[:, node.offset : end], node.order)


def decode(node: Output, x: Floats) -> Floats:
    """Return the model's output for what leaves the network, ``x`` ``(batch, ...)``."""
    flat = (x * node.scale + node.offset).reshape(len(x), -1)
    y = gather(flat, node.order).reshape(len(x), *node.shape)
    for step in node.tail:
        y = on_host(step, y)
    return y


@singledispatch
def compute(node: Node, *inputs: Any) -> Value:
    """Return the output of one node for its inputs, each ``(batch, *shape)`` or a `Train`."""
    raise NotImplementedError(node.kind)


@compute.register
def _(node: Input, x: Floats) -> Value:
    if node.windows == 1:
        return encode(node, x)
    y = encode(node, x.reshape(len(x) * node.windows, -1))
    return Windows(y.reshape(len(x), node.windows, *node.shape))


@compute.register
def _(node: Output, x: Value) -> Value:
    return decode(node, counts_of(x))


@compute.register
def _(node: Dense, x: Value) -> Value:
    read = counts_of(x)
    kind = exact_kind(node.weight, read, node.bias)
    y = read.astype(kind, copy=False) @ node.weight.T.astype(kind, copy=False)
    return y.astype(np.float64, copy=False) + node.bias


@compute.register
def _(node: Conv, x: Value) -> Value:
    read = counts_of(x)
    kind = exact_kind(node.weight, read, node.bias)
    geometry = node.stride, node.padding, node.dilation, node.groups
    y = convolve(read, node.weight, *geometry, kind)
    return y.astype(np.float64, copy=False) + node.bias


@compute.register
def _(node: SumPool, x: Value) -> Value:
    return windows(counts_of(x), node.kernel, node.stride, node.padding).sum(axis=(4, 5))


@compute.register
def _(node: MaxPool, x: Value) -> Value:
    return largest_in_windows(counts_of(x), node.kernel, node.stride, node.padding)


@compute.register
def _(node: Add, *inputs: Value) -> Value:
    return _sum(inputs)


@compute.register
def _(node: Concat, *inputs: Value) -> Value:
    return _joined(inputs)


@compute.register
def _(node: Affine, x: Value) -> Value:
    return counts_of(x) * node.scale + node.shift


@compute.register
def _(node: Rearrange, x: Value) -> Value:
    if isinstance(x, Train):
        rows = x.spikes.shape[:2]
        spikes = _rearrange(node, x.spikes.reshape(-1, *x.spikes.shape[2:]))
        return Train(spikes.reshape(*rows, *node.shape), x.is_radix)
    return _rearrange(node, counts_of(x))


@compute.register
def _(node: Relu, x: Value) -> Value:
    return np.clip(counts_of(x), 0, node.maximum)


@compute.register
def _(node: Smooth, x: Value) -> Value:
    return node.curve(counts_of(x))


@compute.register
def _(node: Staircase, x: Value) -> Value:
    rounded = np.floor(counts_of(x)) if node.rounds_down else np.rint(counts_of(x))
    return np.clip(rounded, node.low, node.high)


@compute.register
def _(node: HostOp, x: Value) -> Value:
    return on_host(node, counts_of(x))


@compute.register
def _(node: MultiThreshold, x: Value) -> Value:
    def fire(m: Floats, threshold: Floats) -> tuple[Floats, Floats]:
        n = np.clip(np.floor(m / threshold), 0, node.levels)
        return n, n

    return run_windows(node, counts_of(x), fire)


@compute.register
def _(node: LmHt, x: Value) -> Value:
    currents = mixed_currents(node, x)
    v = np.full(currents.shape[1:], node.initial)
    sent = []
    for mixed in currents:
        m = node.retention * v + mixed
        y = node.threshold * np.clip(np.floor(m / node.threshold), 0, node.levels)
        v = m - y
        sent.append(y)
    return Windows(np.stack(sent, axis=1))


def mixed_currents(node: LmHt, x: Value) -> Floats:
    """Return what neurons that read ``x`` integrate, ``(windows, batch, *shape)``."""
    if isinstance(x, Windows):
        current = np.moveaxis(x.values, 1, 0)
    else:
        current = np.broadcast_to(counts_of(x), (node.windows, *counts_of(x).shape))
    return np.tensordot(node.mixing.astype(np.float64), current, axes=1)


@compute.register
def _(node: IntegrateFire, x: Value) -> Value:
    def fire(m: Floats, threshold: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
        train = np.empty((node.levels, *m.shape), np.bool_)
        m = np.array(m, np.float64, order="C")  # in the order of the train
        threshold = np.full(m.shape[1:], threshold, np.float64)
        for spikes in train:
            np.greater_equal(m, threshold, out=spikes)
            m -= threshold  # without a spike, too: from below, no threshold is reached again
        return train, counted(train)

    return Train(run_windows(node, counts_of(x), fire, axis=2))


@compute.register
def _(node: ThresholdBank, x: Value) -> Value:
    def fire(m: Floats, threshold: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
        bank = np.empty((node.levels, *m.shape), np.bool_)
        m = np.ascontiguousarray(m)  # in the order of the bank
        for k, spikes in enumerate(bank, 1):
            np.greater_equal(m, k * threshold, out=spikes)
        return bank, counted(bank)

    return Train(run_windows(node, counts_of(x), fire, axis=2))


@compute.register
def _(node: RadixFire, x: Value) -> Value:
    threshold = np.asarray(node.threshold)
    m = np.minimum(counts_of(x) + node.initial, node.levels * threshold)
    train = []
    for place in reversed(range(node.places)):
        train.append(m >= 2**place * threshold)
        m = m - 2**place * threshold * train[-1]
    return Train(np.stack(train), is_radix=True)


@compute.register
def _(node: RadixPool, x: Value) -> Value:
    if not isinstance(x, Train) or not x.is_radix:
        raise TypeError(f"{node.name} pools binary numbers")
    places = []
    candidates: npt.NDArray[np.bool_] = np.ones((), np.bool_)
    for spikes in x.spikes:
        patches = windows(spikes, node.kernel, node.stride, node.padding, fill=False)
        ones = patches & candidates
        largest = ones.any(axis=(4, 5))
        candidates = np.where(largest[..., None, None], ones, candidates)
        places.append(largest)
    return Train(np.stack(places), is_radix=True)


@compute.register
def _(node: OrPool, x: Value) -> Value:
    if not isinstance(x, Train):
        raise TypeError(f"{node.name} pools single spikes")
    geometry = node.kernel, node.stride, node.padding
    pooled = [largest_in_windows(spikes, *geometry) for spikes in x.spikes]
    return Train(np.stack(pooled))


def _rearrange(node: Rearrange, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return gather(x.reshape(len(x), -1), node.order).reshape(len(x), *node.shape)


def gather(x: npt.NDArray[Any], order: IndexArray | None) -> npt.NDArray[Any]:
    """Return columns of ``x`` ``(batch, N)`` in another order; 0 where the order has -1."""
    if order is None:
        return x
    y = x[:, order.ravel()]
    y[:, order.ravel() < 0] = 0
    return y
