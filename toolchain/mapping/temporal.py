r"""The temporal lowering as a circuit: one neuron a unit, spikes one after another.

With :math:`L` levels a population that starts to fire at step :math:`f` does so until
:math:`f + L - 1`, and what it drives has received everything at :math:`f + L`, which is where
that may start. A pool in between takes one step more. So, with the sample emitted at step 0,
layers fire from 1, :math:`L + 1`, :math:`2 L + 1`, ..., each plus the number of pools before
it.

The potential of a neuron lives in ``u``, which never decays and which a spike does not reset;
``v`` holds no memory. A synapse from the population to itself subtracts the threshold one step
after each spike, before the next comparison. A constant source sets and gates it:

- at the sample's first step, the constant part, less the gate :math:`G` if the population has
  to wait;
- :math:`+G` to arrive at step :math:`f`;
- :math:`-G` to arrive at step :math:`f + L`, after the last spike, so that saturated neurons
  stop.

Constants are spread over digits to the base 128, each a payload with a weight of 8 bits.
Everything is zeroed at the first step of the next sample, one step after the last
self-inhibition has arrived. `toolchain.schedule` makes samples overlap in such a circuit.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Lif
from toolchain.ir.snn import IntegrateFire
from toolchain.mapping import MAPPINGS
from toolchain.mapping._draft import Draft, draw, layers_of
from toolchain.mapping._gates import add_gate, starts_of
from toolchain.mapping._synapses import (
    lateral_inhibition,
    self_inhibition,
)
from toolchain.registers import demand_of, temporal_registers
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]


@MAPPINGS.register("temporal")
def map_temporal(graph: Graph, target: Target) -> Circuit:
    """Return the circuit of a quantized graph of `IntegrateFire` neurons.

    Raises:
        CapacityError: A payload does not fit the target, or neurons would have to be reordered.
    """
    draft = draw(graph, target, _add_neurons, readout_decay=0)
    return draft.circuit(period=draft.latency)


def _add_neurons(draft: Draft, node: IntegrateFire) -> None:
    shape = draft.graph.shapes[node.name]
    layers = layers_of(draft.graph, node)
    registers = temporal_registers(demand_of(node, *layers))
    draft.populations.append(
        Lif(
            name=node.name,
            shape=shape,
            threshold=registers.threshold,
            decay_u=0,
            decay_v=DECAY_UNITY,
        )
    )
    draft.fires(node.name, starts_of(draft, node, layers, node.levels), node.levels)
    draft.add_layers(layers, node.name, copies=1)
    add_gate(draft, node.name, registers.start, registers.gate)
    threshold = np.broadcast_to(node.threshold, shape).ravel()
    draft.synapses.extend(self_inhibition(node.name, threshold))
    if node.windows > 1:
        draft.synapses.extend(lateral_inhibition(node.name, node.lateral, shape))
