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
self-inhibition has arrived.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.ir.ann import Conv, Dense
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, Lif, Source, SparseSynapse
from toolchain.ir.snn import IntegrateFire
from toolchain.mapping import MAPPINGS
from toolchain.mapping._draft import UNITY, Draft, draw, layer_of
from toolchain.mapping._synapses import (
    DIGIT_BITS,
    lateral_inhibition,
    mantissas,
    self_inhibition,
    spread,
)
from toolchain.registers import TemporalRegisters, demand_of, temporal_registers
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
    layer = layer_of(draft.graph, node)
    registers = temporal_registers(demand_of(node, layer))
    draft.populations.append(
        Lif(
            name=node.name,
            shape=shape,
            threshold=registers.threshold,
            decay_u=0,
            decay_v=UNITY,
        )
    )
    draft.fires(node.name, _starts(draft, node, layer), node.levels)
    draft.add_layer(layer, node.name, copies=1)
    _add_gate(draft, node.name, registers)
    threshold = np.broadcast_to(node.threshold, shape).ravel()
    draft.synapses.extend(self_inhibition(node.name, threshold))
    if node.windows > 1:
        draft.synapses.extend(lateral_inhibition(node.name, node.lateral, shape))


def _starts(draft: Draft, node: IntegrateFire, layer: Dense | Conv) -> tuple[int, ...]:
    """Return the first fire step of each window: when all it reads has arrived."""
    starts: list[int] = []
    for window, ready in enumerate(draft.ready_windows(layer, node.windows)):
        inhibiting = [
            start + node.levels
            for earlier, start in enumerate(starts)
            if node.lateral[window, earlier].any()
        ]
        starts.append(max([ready, *inhibiting]))
    return tuple(starts)


def _add_gate(draft: Draft, name: str, registers: TemporalRegisters) -> None:
    """Add the source that sets, opens and closes a population, with its synapse."""
    population, starts = draft.populations[-1], draft.starts[name]
    positions = int(np.prod(population.shape)) // len(registers.start)
    start = np.broadcast_to(registers.start, (len(registers.start), positions)).ravel()
    digits = spread(start)
    own_window = np.repeat(
        np.eye(len(starts), dtype=np.int64), start.size // len(starts), axis=0
    )
    mantissa, exponent = mantissas(np.column_stack([*digits, own_window]))
    units = [1 << DIGIT_BITS * place for place in range(len(digits))]
    events = _gate_events(units, registers.gate, starts, draft.length[name])
    bits = max(int(np.abs(values).max()) for values in events.values()).bit_length() + 1
    draft.require_message(bits, name)
    draft.sources.append(
        Source(
            name=f"{name}/gate",
            shape=(len(units) + len(starts),),
            message_bits=bits,
            events=tuple(sorted(events.items())),
        )
    )
    draft.synapses.append(
        SparseSynapse(
            name=f"{name}/gate/synapse",
            source=f"{name}/gate",
            target=name,
            weight=scipy.sparse.csr_matrix(mantissa),
            weight_exponent=exponent,
        )
    )


def _gate_events(
    units: list[int], gate: int, starts: tuple[int, ...], length: int
) -> dict[int, Ints]:
    """Return what the source sends, by step: digits' units, then one gate for each window."""
    events: dict[int, Ints] = {}

    def send(step: int, index: int, value: int) -> None:
        nothing = np.zeros(len(units) + len(starts), np.int64)
        events.setdefault(step, nothing)[index] += value

    for index, unit in enumerate(units):
        send(0, index, unit)
    for index, start in enumerate(starts, len(units)):
        if start > 1:
            send(0, index, -gate)
            send(start - 1, index, gate)
        send(start + length - 1, index, -gate)
    return events
