r"""The radix lowering as a circuit: one neuron a unit, a binary place in each step.

A population of :math:`B` places that starts to fire at step :math:`f` does so until
:math:`f + B - 1`, and what it drives has received everything at :math:`f + B`, which is where
that starts. While it fires, it gathers the next sample, so a new one may follow every :math:`B`
steps, however deep the network is; nothing is gated and nothing is reset.

What joins has to be of one place in each step, so spikes that are early wait: for :math:`B`
steps in neurons that gather a number and fire it again, for fewer in memoryless ones.

A pool reads the inputs of its window with the weights 1, 2, 4, ..., which an 8-bit weight holds
for seven of them. A larger window is pooled along one axis after the other, and along an axis
in pieces: the largest of the largest of overlapping pieces is the largest of all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import scipy.sparse

from toolchain.errors import CapacityError
from toolchain.fixedpoint import DIGIT_BITS
from toolchain.ir.ann import Conv, Dense, Input, MaxPool, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Population, Readout, SparseSynapse
from toolchain.ir.node import IndexArray
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.snn import RadixFire, RadixPool
from toolchain.mapping import MAPPINGS
from toolchain.mapping._draft import Draft, layers_of, needs_relay
from toolchain.mapping._synapses import pool_synapse
from toolchain.registers import demand_of, largest_weight, radix_registers
from toolchain.target import Target

P = TypeVar("P", bound=MaxPool)

_WINDOW_MAX = DIGIT_BITS
"""Inputs that a pool can tell apart."""


@MAPPINGS.register("radix")
def map_radix(graph: Graph, target: Target) -> Circuit:
    """Return the circuit of a quantized graph of `RadixFire` neurons.

    Raises:
        CapacityError: A payload does not fit the target, or the input cannot wait for what it
            joins.
    """
    draft = _RadixDraft(graph, target)
    for node in draft.order():
        if isinstance(node, Input):
            draft.add_input(node)
        elif isinstance(node, RadixPool):
            draft.add_pools(node)
        elif isinstance(node, Rearrange) and needs_relay(graph, node):
            draft.add_relay(node)
        elif isinstance(node, RadixFire):
            draft.add_neurons(node)
        elif isinstance(node, Output):
            draft.add_output(node)
    numbers = [node for node in draft.populations if isinstance(node, Radix)]
    return draft.circuit(period=max(1, *(node.places for node in numbers)))


class _RadixDraft(Draft):
    """A draft whose populations fire binary numbers; they get their interval at the end."""

    def fires(self, name: str, starts: tuple[int, ...], length: int, copies: int = 1) -> None:
        """Note when a source or population spikes, a place in each step."""
        super().fires(name, starts, length, copies)
        self.windows[name] = dataclasses.replace(self.windows[name], is_radix=True)

    def add_neurons(self, node: RadixFire) -> None:
        """Add a population, and the synapses of the layers before it."""
        shape, layers = self.graph.shapes[node.name], layers_of(self.graph, node)
        shift, shifted = shifted_layers(layers, self.target)
        registers = radix_registers(demand_of(node, *layers), node.levels, self.target)
        per_channel = (-1, *(1 for _ in shape[1:]))
        bias = registers.bias
        self.populations.append(
            Radix(
                name=node.name,
                shape=shape,
                start=self.ready(layers),
                interval=node.places,
                places=node.places,
                threshold=registers.threshold.reshape(per_channel),
                bias=bias.reshape(per_channel if bias.shape[1] == 1 else shape),
                ceiling=registers.ceiling.reshape(per_channel),
                shift=shift.reshape(per_channel),
            )
        )
        self.fires(node.name, (self.ready(layers),), node.places)
        self.add_layers(shifted, node.name, 1, self.ready(layers))

    def add_pools(self, node: RadixPool) -> None:
        """Add the populations that together pool a window."""
        source = self.behind(node)
        for part in pool_parts(node):
            shape = part.output_shape(self._shape(source))
            weight = 2 ** np.arange(part.kernel[0] * part.kernel[1]).reshape(part.kernel)
            start = self.starts[source][0] + 1
            self.populations.append(
                RadixMax(name=part.name, shape=shape, start=start, interval=1)
            )
            self.synapses.append(pool_synapse(part, source, shape[0], self.target, weight))
            self.fires(part.name, (start,), self.length[source])
            source = part.name

    def add_output(self, node: Output) -> None:
        """Add neurons that gather the outputs and hold them in ``v``."""
        layers = layers_of(self.graph, node)
        name, step = f"{node.name}/readout", self.ready(layers)
        shape = self.graph.shapes[layers[0].name]
        self.populations.append(Radix(name=name, shape=shape, start=step, interval=1, places=0))
        self.add_layers(layers, name, 1, step)
        self.readouts.append(Readout(name, step, shift=0))

    def _delayed(self, source: str, delay: int) -> str:
        """Return what fires the numbers of ``source`` by so many steps later."""
        while delay > 0 and delay >= (places := self._places(source)):
            source, delay = self._stored(source, places), delay - places
        return super()._delayed(source, delay)

    def _places(self, source: str) -> int:
        """Return the binary places of what a source or population sends.

        Raises:
            CapacityError: A source sends negative numbers, too.
        """
        encodings = {node.name: node.encoding for node in self.graph.inputs}
        if source not in encodings:
            return self.length[source]
        encoding = encodings[source]
        if encoding is None or encoding.low < 0:
            raise CapacityError(
                "the input joins what other layers have computed from it, and negative numbers "
                "cannot wait",
                node=source,
                hint="use --lowering temporal, or an input without negative values",
            )
        return encoding.high.bit_length()

    def _stored(self, source: str, places: int) -> str:
        """Return neurons that gather the numbers of ``source`` and fire them again."""
        name = f"{source}/stored"
        if name not in self.windows:
            shape = self._shape(source)
            start = self.starts[source][0] + self.length[source]
            self.populations.append(
                Radix(name=name, shape=shape, start=start, interval=places, places=places)
            )
            one_to_one = scipy.sparse.identity(
                int(np.prod(shape)), dtype=np.int64, format="csr"
            )
            self.synapses.append(
                SparseSynapse(
                    name=f"{name}/synapse", source=source, target=name, weight=one_to_one
                )
            )
            self.fires(name, (start,), places)
        return name

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a source or population."""
        nodes = (*self.sources, *self.populations)
        return next(node.shape for node in nodes if node.name == name)

    def _timed(self, population: Population, period: int) -> Population:
        """Return a population with the time between samples as its interval."""
        if isinstance(population, Radix | RadixMax):
            return dataclasses.replace(population, interval=period)
        return population


def pool_parts(pool: P) -> Iterator[P]:
    """Yield pools of windows that are small enough and together do the same."""
    (height, width), (vertical, horizontal) = pool.kernel, pool.padding
    if height * width <= _WINDOW_MAX:
        yield pool
        return
    rows = _pieces(height, pool.stride[0], vertical)
    columns = _pieces(width, pool.stride[1], horizontal)
    pieces = [((size, 1), (step, 1), (pad, (0, 0))) for size, step, pad in rows]
    pieces += [((1, size), (1, step), ((0, 0), pad)) for size, step, pad in columns]
    for index, (kernel, stride, padding) in enumerate(pieces, 1):
        yield dataclasses.replace(
            pool,
            name=pool.name if index == len(pieces) else f"{pool.name}/part{index}",
            kernel=kernel,
            stride=stride,
            padding=padding,
        )


def _pieces(
    size: int, stride: int, padding: tuple[int, int]
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield kernel, stride and padding of pools along an axis that do a larger one's work."""
    while size > _WINDOW_MAX:
        yield _WINDOW_MAX, 1, padding
        size, padding = size - _WINDOW_MAX + 1, (0, 0)
    if size > 1 or stride > 1 or any(padding):
        yield size, stride, padding


def shifted_layers(
    layers: Sequence[Dense | Conv], target: Target
) -> tuple[IndexArray, tuple[Dense | Conv, ...]]:
    """Return by how much neurons shift their sums ``(C,)``, and the layers before that.

    Weights of a channel that are too large are divided by a power of two that they have in
    common, so that thresholds may be finer than weights.
    """
    rows = [layer.weight.reshape(len(layer.weight), -1) for layer in layers]
    factors = [np.bitwise_or.reduce(row, axis=1) for row in rows]
    peaks = [np.abs(row).max(axis=1) for row in rows]
    widest = [largest_weight(layer, target) for layer in layers]
    shift = np.zeros(len(rows[0]), np.int64)
    while True:
        divides = [factor % (2 << shift) == 0 for factor in factors]
        is_large = [peak > most << shift for peak, most in zip(peaks, widest, strict=True)]
        grows = np.all(divides, axis=0) & np.any(is_large, axis=0)
        if not grows.any():
            break
        shift = shift + grows
    return shift, tuple(_shifted(layer, shift) for layer in layers)


def _shifted(layer: Dense | Conv, shift: IndexArray) -> Dense | Conv:
    each = shift.astype(layer.weight.dtype).reshape(-1, *(1,) * (layer.weight.ndim - 1))
    return dataclasses.replace(layer, weight=layer.weight >> each)
