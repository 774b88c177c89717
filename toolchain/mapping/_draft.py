"""A circuit in the making: what both lowerings have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.errors import CapacityError
from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.ann import Conv, Dense, Input, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Lif, Readout, Source, Synapse, Window
from toolchain.ir.node import Node
from toolchain.ir.snn import OrPool, Spiking
from toolchain.mapping._synapses import Copies, layer_synapse, pool_synapse
from toolchain.target import Target


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
        readout: Where the outputs are read, once it has been added.
    """

    graph: Graph
    target: Target
    sources: list[Source] = field(default_factory=list)
    populations: list[Lif] = field(default_factory=list)
    synapses: list[Synapse] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    starts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    length: dict[str, int] = field(default_factory=dict)
    readout: Readout | None = None

    @property
    def latency(self) -> int:
        """Time steps from a sample's first step to its readout, inclusive."""
        return self.readout.step + 1 if self.readout is not None else 0

    def ready(self, layer: Dense | Conv) -> int:
        """Return the step in which the last spike that a layer reads has arrived."""
        return self.ready_windows(layer, 1)[0]

    def ready_windows(self, layer: Dense | Conv, windows: int) -> tuple[int, ...]:
        """Return the step in which all has arrived that a window of the neurons behind reads.

        Args:
            layer: Its weights say which windows of its inputs a window reads.
            windows: Of the neurons behind the layer.
        """
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
        self.windows[name] = Window(min(starts), whole, copies)
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
        self.populations.append(
            Lif(
                name=node.name,
                shape=(channels, *shape[1:]),
                threshold=0,
                decay_u=DECAY_UNITY,
                decay_v=DECAY_UNITY,
            )
        )
        self.synapses.append(pool_synapse(node, source, channels, self.target))
        later = tuple(start + 1 for start in self.starts[source])
        self.fires(node.name, later, self.length[source], window.copies)

    def add_layer(self, layer: Dense | Conv, target: str, copies: int) -> None:
        """Add the synapse of a layer into a population with ``copies`` neurons a unit."""
        source = self.behind(layer)
        synapse = layer_synapse(
            layer,
            source,
            target,
            self.graph.shapes[source],
            Copies(self.windows[source].copies, copies),
            self.target,
        )
        self.synapses.append(synapse)

    def add_readout(self, node: Output, decay_u: int) -> None:
        """Add neurons that never spike and hold the outputs in ``v``.

        They are read when all populations are silent: nothing may reach the next sample, not
        even spikes of a window that no layer reads.
        """
        layer = layer_of(self.graph, node)
        name = f"{node.name}/readout"
        self.populations.append(
            Lif(
                name=name,
                shape=self.graph.shapes[layer.name],
                threshold=self.target.threshold_max,
                decay_u=decay_u,
                decay_v=DECAY_UNITY,
            )
        )
        self.add_layer(layer, name, copies=1)
        silent = (window.start + window.length for window in self.windows.values())
        self.readout = Readout(name, max(self.ready(layer), *silent))

    def behind(self, node: Node) -> str:
        """Return the name of the source or population whose spikes ``node`` reads.

        Raises:
            CapacityError: They would have to be brought into another order on the way.
        """
        feeder = self.graph.producer(node)
        while isinstance(feeder, Rearrange):
            if feeder.order is not None:
                raise CapacityError(
                    "its values are reordered between two populations, which no synapse does",
                    node=feeder.origin[0] if feeder.origin else feeder.name,
                    hint="reorder channels where a dense layer follows, or not at all",
                )
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
        """Return the circuit, with every population reset at each sample's first step.

        Args:
            period: Time steps between samples; 1 for memoryless populations, never reset.
        """
        spiking = {node.name for node in self.graph.of_type(Spiking)}
        spiking |= {node.name for node in self.graph.of_type(OrPool)}
        return Circuit(
            name=self.graph.name,
            sources=tuple(self.sources),
            populations=tuple(
                dataclasses.replace(population, reset_interval=None if period == 1 else period)
                for population in self.populations
            ),
            synapses=tuple(self.synapses),
            input=self.graph.input.name,
            period=period,
            latency=self.latency,
            windows={name: self.windows[name] for name in self.windows if name in spiking},
            readout=self.readout,
        )


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
    for node in graph:
        if isinstance(node, Input):
            draft.add_input(node)
        elif isinstance(node, OrPool):
            draft.add_pool(node)
        elif isinstance(node, Spiking):
            add_neurons(draft, node)
        elif isinstance(node, Output):
            draft.add_readout(node, readout_decay)
    return draft


def layer_of(graph: Graph, node: Node) -> Dense | Conv:
    """Return the layer that feeds neurons or the output."""
    layer = graph.producer(node)
    if not isinstance(layer, (Dense, Conv)):
        raise CapacityError("no layer feeds it", node=node.name)
    return layer
