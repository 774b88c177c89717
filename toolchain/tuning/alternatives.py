"""What a network would take in each lowering, worked out without mapping it.

Neurons and time steps are those of the circuit. Synapses and spikes are worked out from the
integers of one lowering; in another they are rounded otherwise, and differ a little. Gates and
self-inhibition of the temporal lowering are taken as `_GATE_SYNAPSES` for each neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Conv, Dense, Input, MaxPool, Output, Rearrange
from toolchain.ir.counts import count, sweep
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node, Shape
from toolchain.ir.size import count_connections
from toolchain.ir.snn import Spiking
from toolchain.mapping._draft import needs_relay
from toolchain.mapping._synapses import Copies, layer_synapses, pool_synapse
from toolchain.mapping.radix import pool_parts, shifted_layers
from toolchain.report import LoweringReport
from toolchain.schedule import AUTO, PIPELINED, SEQUENTIAL
from toolchain.target import Target

Counts: TypeAlias = npt.NDArray[Any]

SAMPLES_MAX = 8
_GATE_SYNAPSES = 4


@dataclass(frozen=True)
class _Way:
    """How a lowering lays a population of some levels out in time and space.

    Attributes:
        steps: Time steps in which it spikes.
        copies: Neurons for each unit.
        spikes: Of counts, how many spikes stand for them.
        waits: Whether spikes that come before others have to be held back.
        stores: Whether all that a window holds can wait in one neuron.
        extra: Synapses of each neuron beside those of layers.
        needs_program: Whether stock neurons do not do.
        otherwise: What is done where the input would have to wait and cannot.
    """

    steps: Callable[[int], int]
    copies: Callable[[int], int]
    spikes: Callable[[Counts], float]
    waits: bool = False
    stores: bool = False
    extra: int = 0
    needs_program: bool = False
    otherwise: _Way | None = None


def _one(levels: int) -> int:
    return 1


def _ones_of(counts: Counts) -> float:
    """Return how many ones the counts have in binary."""
    rest, ones = counts.astype(np.int64), 0
    while rest.any():
        ones, rest = ones + int((rest & 1).sum()), rest >> 1
    return float(ones)


def _each(counts: Counts) -> float:
    return float(counts.sum())


_GATHERING = _Way(_one, int, _each, extra=_GATE_SYNAPSES)
_WAYS: Mapping[str, _Way] = {
    "radix": _Way(int.bit_length, _one, _ones_of, waits=True, stores=True, needs_program=True),
    "spatial": _Way(_one, int, _each, waits=True, otherwise=_GATHERING),
    "temporal": _Way(int, _one, _each, extra=_GATE_SYNAPSES),
}


def compare_lowerings(
    graph: Graph, chosen: str, target: Target, x: npt.NDArray[Any], schedule: str = AUTO
) -> tuple[LoweringReport, ...]:
    """Return what each lowering that the network could take would need, by name.

    Networks of several windows are left out: each lowering lays windows out in its own way.

    Args:
        graph: Quantized.
        chosen: The lowering it was quantized for.
        target: The chip.
        x: Samples to count spikes on, ``(samples, *source_shape)``; at most `SAMPLES_MAX`.
        schedule: That was asked for.
    """
    if any(node.windows > 1 for node in graph.of_type(Spiking)):
        return ()
    plans = {name: _planned(graph, way, target) for name, way in _WAYS.items()}
    x = x[:SAMPLES_MAX]
    for node, inputs, value in sweep(graph, x):
        for plan in plans.values():
            plan.count(node, inputs, value)
    return tuple(
        plan.report(name, name == chosen, len(x), schedule)
        for name, plan in plans.items()
        if plan.is_possible
    )


def _planned(graph: Graph, way: _Way, target: Target) -> _Plan:
    """Return the plan of a way, or of what is done where it is not possible."""
    plan = _Plan(graph, way, target)
    if plan.is_possible or way.otherwise is None:
        return plan
    return _planned(graph, way.otherwise, target)


@dataclass
class _Plan:
    """A circuit in outline: when populations have spiked, and how large it is.

    Attributes:
        graph: Quantized.
        way: How populations are laid out.
        target: The chip.
        neurons: So far.
        synapses: So far.
        ready: In which step the last spike of a population has arrived, by its name.
        steps: In how many steps it spikes, likewise.
        copies: Of each unit, likewise.
        held: How long spikes wait for others, as the population and a number of steps.
        occupied: For how many steps a sample occupies a population.
        is_possible: Whether nothing has to wait that cannot.
        spikes: Of all samples that were counted.
    """

    graph: Graph
    way: _Way
    target: Target
    neurons: int = 0
    synapses: int = 0
    ready: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    held: set[tuple[str, int]] = field(default_factory=set)
    occupied: list[int] = field(default_factory=list)
    is_possible: bool = True
    spikes: float = 0.0

    def __post_init__(self) -> None:
        for node in self.graph:
            if isinstance(node, Input):
                self.ready[node.name] = self.steps[node.name] = self.copies[node.name] = 1
            elif isinstance(node, MaxPool):
                self._add_pool(node)
            elif isinstance(node, Rearrange) and needs_relay(self.graph, node):
                self._pass_on(node, 1)
                read = 1.0 if node.order is None else float(np.mean(node.order >= 0))
                self._add_relays(node.name, read)
            elif isinstance(node, Spiking | Output):
                self._add_population(node)

    def count(self, node: Node, inputs: tuple[Counts, ...], value: Counts) -> None:
        """Count the spikes that a node, and what holds them back, sends in some samples."""
        if not self.is_possible:
            return
        if isinstance(node, Input):
            self.spikes += np.count_nonzero(value)
        elif isinstance(node, MaxPool) and self.way.stores:
            for part in pool_parts(node):
                inputs = (count(part, *inputs),)
                self.spikes += self.way.spikes(inputs[0])
        elif node.name in self.ready and not isinstance(node, Output):
            self.spikes += self.way.spikes(value)
        if relays := sum(source == node.name for source, _ in self.held):
            self.spikes += relays * self.way.spikes(value)

    def report(self, name: str, is_chosen: bool, samples: int, schedule: str) -> LoweringReport:
        """Return the row of the lowering."""
        steps = max(self.ready[node.name] for node in self.graph.of_type(Output)) + 1
        stored = [self._places(s) for s, _ in self.held] if self.way.stores else []
        periods = {SEQUENTIAL: steps, PIPELINED: max([*self.occupied, *stored])}
        usual = PIPELINED if self.way.waits else SEQUENTIAL
        return LoweringReport(
            name=name,
            is_chosen=is_chosen,
            time_steps=steps,
            period=periods[usual if schedule == AUTO else schedule],
            periods=periods,
            neurons=self.neurons,
            synapses=self.synapses,
            spikes_per_sample=self.spikes / samples,
            needs_program=self.way.needs_program,
            fits=self.neurons <= self.target.neurons.value,
        )

    def _add_population(self, node: Spiking | Output) -> None:
        _, layers = shifted_layers(self.graph.layers_into(node), self.target)
        shape = self.graph.shapes[layers[0].name]
        levels = node.levels if isinstance(node, Spiking) else 0
        copies = self.way.copies(levels) if levels else 1
        sources = {self._behind(layer) for layer in layers}
        start = max(self.ready[source] for source in sources)
        self.neurons += int(np.prod(shape)) * copies
        self.synapses += self.way.extra * int(np.prod(shape)) * copies if levels else 0
        for layer in layers:
            source = self._behind(layer)
            self.synapses += self._connections(layer, shape) * self.copies[source] * copies
            if self.way.waits:
                self._hold(source, start - self.ready[source])
        self.steps[node.name] = self.way.steps(levels) if levels else 0
        self.ready[node.name] = start + self.steps[node.name]
        self.copies[node.name] = copies
        begin = min(self.ready[source] - self.steps[source] + 1 for source in sources)
        self.occupied.append(
            max(self.steps[node.name], 1)
            if self.way.waits
            else self.ready[node.name] - begin + 1
        )

    def _connections(self, layer: Dense | Conv, shape: Shape) -> int:
        before = self.graph.shapes[self._behind(layer)]
        synapses = layer_synapses(layer, "", "", before, Copies(), self.target)
        return sum(count_connections(synapse, before, shape) for synapse in synapses)

    def _add_pool(self, node: MaxPool) -> None:
        """Add a pool, or what does its work in small windows."""
        source = self._behind(node)
        before = self.graph.shapes[source]
        parts = tuple(pool_parts(node)) if self.way.stores else (node,)
        self._pass_on(node, len(parts))
        for part in parts:
            shape = part.output_shape(before)
            ones = np.ones(part.kernel, np.int64)
            synapse = pool_synapse(part, source, shape[0], self.target, ones)
            copies = self.copies[source]
            self.neurons += int(np.prod(shape)) * copies
            self.synapses += count_connections(synapse, before, shape) * copies
            before = shape

    def _pass_on(self, node: Node, delay: int) -> None:
        """Note that a node sends what it reads some steps later."""
        source = self._behind(node)
        self.ready[node.name] = self.ready[source] + delay
        self.steps[node.name], self.copies[node.name] = self.steps[source], self.copies[source]

    def _hold(self, source: str, delay: int) -> None:
        """Add what holds spikes back: a neuron for whole windows, one a step for the rest."""
        at, size = 0, self._places(source) if self.way.stores else 0
        while size and delay - at >= size:
            at += size
            self._hold_until(source, at)
        is_input = isinstance(self.graph[source], Input)
        if delay > at and is_input and at == 0:
            self.is_possible = False
        for step in range(at + 1, delay + 1):
            self._hold_until(source, step)

    def _hold_until(self, source: str, step: int) -> None:
        if (source, step) not in self.held:
            self.held.add((source, step))
            self._add_relays(source)

    def _add_relays(self, name: str, read: float = 1.0) -> None:
        """Add a neuron for each of a population; a share of them reads one of another."""
        size = int(np.prod(self.graph.shapes[name])) * self.copies[name]
        self.neurons += size
        self.synapses += round(read * size)

    def _places(self, source: str) -> int:
        """Return the steps that numbers of a source take, 0 if they cannot be stored."""
        node = self.graph[source]
        if not isinstance(node, Input):
            return self.steps[source]
        encoding = node.encoding
        return 0 if encoding is None or encoding.low < 0 else encoding.high.bit_length()

    def _behind(self, node: Node) -> str:
        """Return the name of the source or population whose spikes ``node`` reads."""
        feeder = self.graph.producer(node)
        while feeder.name not in self.ready:
            feeder = self.graph.producer(feeder)
        return feeder.name
