"""What of the graph a circuit's populations stand for, where they send its spikes."""

from __future__ import annotations

from targets.simulator._fan_out import fan_out
from toolchain.ir.ann import MaxPool
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Synapse
from toolchain.ir.node import IndexArray
from toolchain.ir.snn import Spiking


def stands_for(circuit: Circuit, name: str, graph: Graph) -> str:
    """Return the node whose spikes a population sends, now or later; else nothing."""
    if name in graph:
        return name
    node, later, _ = name.rpartition("/later")
    into = circuit.into(name)
    is_repeater = later and node in graph and len(into) == 1
    return node if is_repeater and (_fan_into(circuit, into[0]) == 1).all() else ""


def windows_of(graph: Graph, name: str) -> int:
    """Return the windows that the channels of a node are of."""
    node = graph[name]
    neurons = graph.feeder(node) if isinstance(node, MaxPool) else node
    return neurons.windows if isinstance(neurons, Spiking) else 1


def _fan_into(circuit: Circuit, synapse: Synapse) -> IndexArray:
    """Return the weights other than 0 that a synapse has behind every neuron it reads."""
    source, target = circuit.nodes[synapse.source], circuit.nodes[synapse.target]
    return fan_out(synapse, source.shape, target.shape)
