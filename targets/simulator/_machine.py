"""All populations and synapses of a circuit, advanced together by one time step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import singledispatch
from typing import Protocol

import numpy as np
import numpy.typing as npt

from targets.simulator._contract import check_circuit
from targets.simulator._emission import Current, Emission
from targets.simulator._lif import LifState
from targets.simulator._sigma_delta import DeltaState, SigmaState
from targets.simulator._synapses import Carrier, ConvCarrier, add_currents, carrier
from toolchain.errors import VerifyError
from toolchain.ir.mapped import (
    Circuit,
    Delta,
    Injection,
    IntArray,
    Lif,
    Population,
    Sigma,
    SigmaDelta,
)

Emissions = Mapping[str, Emission | None]
Writes = Mapping[str, npt.NDArray[np.int32]]


class State(Protocol):
    """What a population remembers, for a batch of samples."""

    v: npt.NDArray[np.int32]
    wraps: IntArray
    saturations: IntArray

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return what is sent."""


class Machine:
    """A circuit in motion.

    Attributes:
        circuit: What it runs.
        neurons: Number of neurons of each source and population.
        carriers: Of each synapse, by name.
        states: Of each population, by name; new with every `start`.
        sent: What each source and population sent in the latest step.
    """

    def __init__(self, circuit: Circuit) -> None:
        check_circuit(circuit)
        self.circuit = circuit
        self.neurons = {name: math.prod(node.shape) for name, node in circuit.nodes.items()}
        self.carriers: dict[str, Carrier] = {
            synapse.name: carrier(
                synapse,
                circuit.nodes[synapse.source].shape,
                circuit.nodes[synapse.target].shape,
            )
            for synapse in circuit.synapses
            if not isinstance(synapse, Injection)
        }
        self.states: dict[str, State] = {}
        self.sent: dict[str, Emission | None] = {}
        self._into = {node.name: circuit.into(node.name) for node in circuit.populations}

    def start(self, batch: int) -> None:
        """Put everything at rest for ``batch`` samples."""
        for synapse in self.carriers.values():
            synapse.start(batch)
        self.states = {
            node.name: _rest(node, self.neurons[node.name], batch)
            for node in self.circuit.populations
        }
        self.sent = dict.fromkeys(self.circuit.nodes)

    def step(self, t: int, emissions: Emissions, writes: Writes) -> None:
        """Advance by time step ``t``.

        Args:
            t: Counted from the start of the run; decides over periodic resets.
            emissions: What every source sends in this step.
            writes: Values the host writes into bias registers in this step, by source.

        Raises:
            RangeError: A sum leaves 32 bits.
        """
        before, self.sent = self.sent, dict(emissions)
        for name, state in self.states.items():
            currents = []
            for synapse in self._into[name]:
                if not isinstance(synapse, Injection):
                    arrived = self.carriers[synapse.name].carry(before[synapse.source])
                    currents += [arrived] if arrived is not None else []
                elif synapse.register == "a":
                    currents += _injected(emissions[synapse.source])
                elif isinstance(state, LifState) and synapse.source in writes:
                    state.write_bias(writes[synapse.source])
            self.sent[name] = state.step(t, add_currents(name, currents))

    def saturations(self) -> dict[str, IntArray]:
        """Return the saturations so far, per population, each ``(batch,)``."""
        return {name: state.saturations for name, state in self.states.items()}

    def wraps(self) -> dict[str, IntArray]:
        """Return the wraps so far, per population and convolution, each ``(batch,)``."""
        wraps = {name: state.wraps for name, state in self.states.items()}
        for name, synapse in self.carriers.items():
            if isinstance(synapse, ConvCarrier):
                wraps[name] = synapse.wraps
        return wraps


def _injected(emission: Emission | None) -> list[Current]:
    if emission is None:
        return []
    return [Current(emission.values.astype(np.int32, copy=False), emission.peak)]


@singledispatch
def _rest(population: Population, neurons: int, batch: int) -> State:
    raise VerifyError(
        f"the simulator does not know a {type(population).__name__}", node=population.name
    )


@_rest.register
def _(population: Lif, neurons: int, batch: int) -> State:
    return LifState(population, neurons, batch)


@_rest.register(Delta)
@_rest.register(SigmaDelta)
def _(population: Delta | SigmaDelta, neurons: int, batch: int) -> State:
    return DeltaState(population, neurons, batch)


@_rest.register
def _(population: Sigma, neurons: int, batch: int) -> State:
    return SigmaState(population, neurons, batch)
