"""A circuit in the making: what both lowerings have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse

from toolchain.errors import CapacityError
from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.ann import Conv, Dense, Input, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import (
    Circuit,
    Lif,
    Population,
    Readout,
    Source,
    SparseSynapse,
    Synapse,
    Window,
)
from toolchain.ir.node import Node, Shape
from toolchain.ir.snn import OrPool, Spiking
from toolchain.mapping._synapses import Copies, layer_synapses, pool_synapse, relay_synapse
from toolchain.target import Target

Layer: TypeAlias = Dense | Conv
Layers: TypeAlias = tuple[Layer, ...]


@dataclass
class Draft:
    """Populations and synapses so far, and when each population has spiked.

    Attributes:
        graph: Quantized.
        target: The chip.
        sources: So far.
        populations: So far, in order of depth.
        synapses: So far.
        windows: When each source and population spikes, by its name.
        starts: In which step each window of it begins to spike, by its name.
        length: For how many steps, by its name.
        readouts: Where the outputs are read that have been added.
    """

    graph: Graph
    target: Target
    sources: list[Source] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    synapses: list[Synapse] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    starts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    length: dict[str, int] = field(default_factory=dict)
    readouts: list[Readout] = field(default_factory=list)

    @property
    def latency(self) -> int:
        """Time steps from a sample's first step to its last readout, inclusive."""
        return max((readout.step + 1 for readout in self.readouts), default=0)

    def order(self) -> Iterator[Node]:
        """Iterate over the nodes of the graph, the outputs at the end."""
        yield from (node for node in self.graph if not isinstance(node, Output))
        yield from self.graph.outputs

    def ready(self, layers: Layers) -> int:
        """Return the step in which the last spike that any of the layers reads has arrived."""
        return self.ready_windows(layers, 1)[0]

    def ready_windows(self, layers: Layers, windows: int) -> tuple[int, ...]:
        """Return the step in which all has arrived that a window of the neurons behind reads.

        Args:
            layers: Their weights say which windows of their inputs a window reads.
            windows: Of the neurons behind the layers.
        """
        each = (self._ready_windows(layer, windows) for layer in layers)
        return tuple(max(starts) for starts in zip(*each, strict=True))

    def _ready_windows(self, layer: Layer, windows: int) -> tuple[int, ...]:
        source = self.behind(layer)
        starts, length = self.starts[source], self.length[source]
        rows, columns = len(layer.weight) // windows, layer.weight.shape[1] // len(starts)
        blocks = layer.weight.reshape(windows, rows, len(starts), columns, -1)
        reads = blocks.any(axis=(1, 3, 4)) if len(starts) > 1 else np.ones((windows, 1), bool)
        return tuple(
            max(start + length for start, is_read in zip(starts, row, strict=True) if is_read)
            if row.any()
            else 1
            for row in reads
        )

    def fires(self, name: str, starts: tuple[int, ...], length: int, copies: int = 1) -> None:
        """Note when a source or population spikes: ``length`` steps from each of ``starts``."""
        whole = max(starts) + length - min(starts)
        several = starts if len(starts) > 1 else ()
        self.windows[name] = Window(min(starts), whole, copies, starts=several)
        self.starts[name], self.length[name] = starts, length

    def add_input(self, node: Input) -> None:
        """Add the source that carries the samples."""
        if node.encoding is None:
            raise CapacityError("the input is not encoded as integers", node=node.name)
        bits = node.encoding.message_bits
        self.require_message(bits, node.name)
        self.sources.append(Source(name=node.name, shape=node.shape, message_bits=bits))
        self.fires(node.name, (0,), 1)

    def add_pool(self, node: OrPool) -> None:
        """Add memoryless neurons that spike iff any in their window did a step before."""
        source = self.behind(node)
        window = self.windows[source]
        shape = self.graph.shapes[node.name]
        channels = shape[0] * window.copies
        self._add_memoryless(node.name, (channels, *shape[1:]))
        ones = np.ones(node.kernel, np.int64)
        self.synapses.append(pool_synapse(node, source, channels, self.target, ones))
        later = tuple(start + 1 for start in self.starts[source])
        self.fires(node.name, later, self.length[source], window.copies)

    def add_relay(self, node: Rearrange) -> None:
        """Add memoryless neurons that repeat the spike of the neuron they read a step later."""
        source = self.behind(node)
        window = self.windows[source]
        shape = (node.shape[0] * window.copies, *node.shape[1:])
        self._add_memoryless(node.name, shape)
        before = self.graph.shapes[node.inputs[0]]
        order = np.arange(int(np.prod(before))) if node.order is None else node.order
        synapse = relay_synapse(node, source, before, order, window.copies)
        self.synapses.append(synapse)
        later = tuple(start + 1 for start in self.starts[source])
        self.fires(node.name, later, self.length[source], window.copies)

    def add_layers(
        self, layers: Layers, target: str, copies: int, arrival: int | None = None
    ) -> None:
        """Add the synapses of layers into a population with ``copies`` neurons a unit.

        Args:
            layers: Whose sum the population reads.
            target: Its name.
            copies: Neurons of it that stand for a unit.
            arrival: Step in which what is read has to arrive, for neurons without memory; what
                would come earlier passes relays. `None` where neurons can wait.
        """
        for layer in layers:
            source = self.behind(layer)
            delay = 0 if arrival is None else arrival - self.ready((layer,))
            shape = self.graph.shapes[source]
            between = Copies(self.windows[source].copies, copies)
            read = self._delayed(source, delay)
            self.synapses.extend(
                layer_synapses(layer, read, target, shape, between, self.target)
            )

    def _delayed(self, source: str, delay: int) -> str:
        """Return the last of as many relays behind a population as it has to wait steps."""
        if any(entry.name == source for entry in self.sources) and delay:
            raise CapacityError(
                "the input cannot wait in neurons without memory",
                node=source,
                hint="use --lowering temporal, or begin the network with an activation",
            )
        for step in range(1, delay + 1):
            name = f"{source}/later{step}"
            if name not in self.windows:
                before = source if step == 1 else f"{source}/later{step - 1}"
                shape = next(p.shape for p in self.populations if p.name == before)
                self._add_memoryless(name, shape)
                size = int(np.prod(shape))
                self.synapses.append(
                    SparseSynapse(
                        name=f"{name}/synapse",
                        source=before,
                        target=name,
                        weight=scipy.sparse.identity(size, dtype=np.int64, format="csr"),
                    )
                )
                later = tuple(start + 1 for start in self.starts[before])
                self.fires(name, later, self.length[before], self.windows[before].copies)
        return f"{source}/later{delay}" if delay else source

    def _add_memoryless(self, name: str, shape: Shape) -> None:
        """Add neurons that spike iff anything excites them in the step before."""
        self.populations.append(
            Lif(name=name, shape=shape, threshold=0, decay_u=DECAY_UNITY, decay_v=DECAY_UNITY)
        )

    def add_readout(self, node: Output, decay_u: int) -> None:
        """Add neurons that never spike and hold the outputs in ``v``.

        They are read when all populations are silent: nothing may reach the next sample, not
        even spikes of a window that no layer reads.
        """
        layers = layers_of(self.graph, node)
        name = f"{node.name}/readout"
        self.populations.append(
            Lif(
                name=name,
                shape=self.graph.shapes[layers[0].name],
                threshold=self.target.threshold_max,
                decay_u=decay_u,
                decay_v=DECAY_UNITY,
            )
        )
        ready = self.ready(layers)
        self.add_layers(layers, name, 1, ready if decay_u else None)
        silent = (window.start + window.length for window in self.windows.values())
        step = ready if decay_u else max(ready, *silent)
        self.readouts.append(Readout(name, step))

    def behind(self, node: Node) -> str:
        """Return the name of the source or population whose spikes ``node`` reads."""
        feeder = self.graph.producer(node)
        while isinstance(feeder, Rearrange) and feeder.name not in self.windows:
            feeder = self.graph.producer(feeder)
        return feeder.name

    def require_message(self, bits: int, node: str) -> None:
        """Check that a payload fits.

        Raises:
            CapacityError: It does not.
        """
        if bits > self.target.message_bits.value:
            raise CapacityError(
                f"a payload takes {bits} bits; a graded spike has "
                f"{self.target.message_bits.value}",
                node=node,
                hint="lower --levels",
            )

    def circuit(self, period: int) -> Circuit:
        """Return the circuit, with every LIF population reset at each sample's first step.

        Args:
            period: Time steps between samples; 1 for memoryless populations, never reset.
        """
        spiking = [node.name for node in self.populations if node.name in self.windows]
        return Circuit(
            name=self.graph.name,
            sources=tuple(self.sources),
            populations=tuple(self._timed(node, period) for node in self.populations),
            synapses=tuple(self.synapses),
            inputs=tuple(node.name for node in self.graph.inputs),
            period=period,
            latency=self.latency,
            windows={name: self.windows[name] for name in spiking},
            readouts=tuple(self.readouts),
        )

    def _timed(self, population: Population, period: int) -> Population:
        """Return a population with what depends on the time between samples."""
        if period == 1 or not isinstance(population, Lif):
            return population
        return dataclasses.replace(population, reset_interval=period)


def draw(
    graph: Graph, target: Target, add_neurons: Callable[[Draft, Any], None], readout_decay: int
) -> Draft:
    """Return the draft of a whole graph.

    Args:
        graph: Quantized.
        target: The chip.
        add_neurons: Adds a population of spiking neurons, which the lowerings do differently.
        readout_decay: 4096ths of ``u`` that the outputs lose per step.
    """
    draft = Draft(graph, target)
    for node in draft.order():
        if isinstance(node, Input):
            draft.add_input(node)
        elif isinstance(node, OrPool):
            draft.add_pool(node)
        elif isinstance(node, Rearrange) and needs_relay(graph, node):
            draft.add_relay(node)
        elif isinstance(node, Spiking):
            add_neurons(draft, node)
        elif isinstance(node, Output):
            draft.add_readout(node, readout_decay)
    return draft


def layers_of(graph: Graph, node: Node) -> Layers:
    """Return the layers whose sum neurons or the output read."""
    layers = graph.layers_into(node)
    if not layers:
        raise CapacityError("no layer feeds it", node=node.name)
    return layers


def needs_relay(graph: Graph, node: Rearrange) -> bool:
    """Tell whether neurons have to bring spikes into another order.

    Flattening before a dense layer is only another name for the same neurons.
    """
    return node.order is not None or not all(
        isinstance(user, Dense) for user in graph.users(node.name)
    )
