r"""The spatial lowering as a circuit: one neuron for each level of a unit, one step a layer.

Nothing holds a memory: ``u`` and ``v`` are what arrives in the step, plus the bias. Copy
:math:`k` of a unit has the threshold :math:`k \theta` less the constant part, said by its bias
because the threshold register is one for the population. Copies share weights, and a synapse
reads all copies of a unit with the same weight, so their spikes add up to the count.

A sample passes one layer a step, and a new one may follow in every step.

Branches that meet have to arrive in the same step: spikes of the shorter one pass relays, which
repeat them a step later.

Networks of several windows need a memory for what has arrived and for the inhibition by earlier
windows, and so do those in which the input meets what other layers have made of it, because
graded values cannot pass relays. Their copies have the memory of the temporal lowering, and its
gates, but fire for one step.
"""

from __future__ import annotations

from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Lif
from toolchain.ir.snn import ThresholdBank
from toolchain.mapping import MAPPINGS
from toolchain.mapping._draft import Draft, draw, layers_of
from toolchain.mapping._gates import add_gate, starts_of
from toolchain.mapping._synapses import lateral_inhibition
from toolchain.registers import demand_of, gated_registers, spatial_registers
from toolchain.target import Target


@MAPPINGS.register("spatial")
def map_spatial(graph: Graph, target: Target) -> Circuit:
    """Return the circuit of a quantized graph of `ThresholdBank` neurons.

    Raises:
        CapacityError: A payload does not fit the target, or neurons would have to be reordered.
    """
    if not any(node.gathers for node in graph.of_type(ThresholdBank)):
        return draw(graph, target, _add_neurons, readout_decay=DECAY_UNITY).circuit(period=1)
    draft = draw(graph, target, _add_gated_neurons, readout_decay=0)
    return draft.circuit(period=draft.latency)


def _add_neurons(draft: Draft, node: ThresholdBank) -> None:
    shape = draft.graph.shapes[node.name]
    layers = layers_of(draft.graph, node)
    registers = spatial_registers(demand_of(node, *layers), node.levels, draft.target)
    channels = shape[0] * node.levels
    is_uniform = registers.bias.shape[2] == 1
    arranged = (channels, *((1,) * (len(shape) - 1) if is_uniform else shape[1:]))
    threshold = registers.threshold
    draft.populations.append(
        Lif(
            name=node.name,
            shape=(channels, *shape[1:]),
            threshold=threshold if isinstance(threshold, int) else threshold.reshape(arranged),
            decay_u=DECAY_UNITY,
            decay_v=DECAY_UNITY,
            bias_mantissa=registers.bias.reshape(arranged),
        )
    )
    arrival = draft.ready(layers)
    draft.fires(node.name, (arrival,), 1, node.levels)
    draft.add_layers(layers, node.name, node.levels, arrival)


def _add_gated_neurons(draft: Draft, node: ThresholdBank) -> None:
    shape = draft.graph.shapes[node.name]
    layers = layers_of(draft.graph, node)
    registers = gated_registers(demand_of(node, *layers), node.levels)
    channels = shape[0] * node.levels
    draft.populations.append(
        Lif(
            name=node.name,
            shape=(channels, *shape[1:]),
            threshold=0,
            decay_u=0,
            decay_v=DECAY_UNITY,
        )
    )
    draft.fires(node.name, starts_of(draft, node, layers, 1), 1, node.levels)
    draft.add_layers(layers, node.name, node.levels)
    add_gate(draft, node.name, registers.start.reshape(channels, -1), registers.gate)
    if node.windows > 1:
        draft.synapses.extend(
            lateral_inhibition(node.name, node.lateral, shape, copies=node.levels)
        )
