"""All populations and synapses of a circuit, advanced together by one time step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from targets.simulator._carriers import Carrier, ConvCarrier
from targets.simulator._contract import check_circuit
from targets.simulator._emission import Current, Emission, add_currents
from targets.simulator._fan_out import fan_out
from targets.simulator._lif import LifState
from targets.simulator._radix import RadixMaxState, RadixState
from targets.simulator._sigma_delta import DeltaState, SigmaState
from targets.simulator._synapses import carriers
from toolchain.errors import VerifyError
from toolchain.ir.mapped import Circuit, Injection, IntArray, Lif, Population, Shape, Synapse
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

Emissions = Mapping[str, Emission | None]
Writes = Mapping[str, npt.NDArray[np.int32]]


class State(Protocol):
    """What a population remembers, for a batch of samples."""

    @property
    def v(self) -> npt.NDArray[np.int32]:
        """Membrane potential, or what stands for it, ``(batch or 1, neurons)``."""

    @property
    def wraps(self) -> IntArray:
        """Per sample, how often a neuron's ``u`` left its register, ``(batch,)``."""

    @property
    def saturations(self) -> IntArray:
        """Per sample, how often a neuron's ``v`` was limited, ``(batch,)``."""

    def step(self, t: int, current: Current | None) -> Emission | None:
        """Advance by time step ``t`` and return what is sent."""


class FanOuts(NamedTuple):
    """What spikes of a population cost.

    Attributes:
        synapses: Names of the synapses behind it.
        weights: A column of ones, and for each synapse one with the number of weights that
            each neuron's spikes meet, ``(neurons, 1 + synapses)``.
    """

    synapses: tuple[str, ...]
    weights: npt.NDArray[np.float64]


class Machine:
    """A circuit in motion.

    Attributes:
        circuit: What it runs.
        neurons: Number of neurons of each source and population.
        fan_outs: What is behind each source and population.
        states: Of each population, by name; new with every `start`.
        sent: What each source and population sent in the latest step.
    """

    def __init__(self, circuit: Circuit) -> None:
        check_circuit(circuit)
        self.circuit = circuit
        self.neurons = {name: math.prod(node.shape) for name, node in circuit.nodes.items()}
        self.fan_outs = {name: self._fan_outs(name) for name in circuit.nodes}
        self.states: dict[str, State] = {}
        self.sent: dict[str, Emission | None] = {}
        self._carriers = {node.name: self._carriers_into(node) for node in circuit.populations}
        self._injections = {
            node.name: [
                synapse for synapse in circuit.into(node.name) if isinstance(synapse, Injection)
            ]
            for node in circuit.populations
        }

    def start(self, batch: int) -> None:
        """Put everything at rest for ``batch`` samples."""
        for _, carrier in self._all_carriers():
            carrier.start(batch)
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
            currents = [
                carrier.carry(before[source]) for source, carrier in self._carriers[name]
            ]
            for injection in self._injections[name]:
                if injection.register == "a":
                    currents.append(_injected(emissions[injection.source]))
                elif isinstance(state, LifState) and injection.source in writes:
                    state.write_bias(writes[injection.source])
            arrived = [current for current in currents if current is not None]
            self.sent[name] = state.step(t, add_currents(name, arrived))

    def saturations(self) -> dict[str, IntArray]:
        """Return the saturations so far, per population, each ``(batch,)``."""
        return {name: state.saturations for name, state in self.states.items()}

    def wraps(self) -> dict[str, IntArray]:
        """Return the wraps so far, per population and convolution, each ``(batch,)``."""
        wraps = {name: state.wraps for name, state in self.states.items()}
        for _, carrier in self._all_carriers():
            if isinstance(carrier, ConvCarrier):
                wraps[carrier.name] = carrier.wraps
        return wraps

    def _fan_outs(self, name: str) -> FanOuts:
        behind = [
            synapse
            for synapse in self.circuit.synapses
            if synapse.source == name and not isinstance(synapse, Injection)
        ]
        rows = [fan_out(synapse, *self._shapes(name, synapse.target)) for synapse in behind]
        ones = np.ones(self.neurons[name])
        return FanOuts(
            tuple(synapse.name for synapse in behind), np.stack([ones, *rows], axis=1)
        )

    def _carriers_into(self, population: Population) -> list[tuple[str, Carrier]]:
        """Return the carriers into a population, each with the name of its source."""
        into: dict[str, list[Synapse]] = {}
        for synapse in self.circuit.into(population.name):
            if not isinstance(synapse, Injection):
                into.setdefault(synapse.source, []).append(synapse)
        return [
            (source, carrier)
            for source, synapses in into.items()
            for carrier in carriers(synapses, *self._shapes(source, population.name))
        ]

    def _all_carriers(self) -> Iterator[tuple[str, Carrier]]:
        return itertools.chain.from_iterable(self._carriers.values())

    def _shapes(self, source: str, target: str) -> tuple[Shape, Shape]:
        return self.circuit.nodes[source].shape, self.circuit.nodes[target].shape


def _injected(emission: Emission | None) -> Current | None:
    if emission is None:
        return None
    return Current(emission.values.astype(np.int32, copy=False), emission.peak)


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


@_rest.register
def _(population: Radix, neurons: int, batch: int) -> State:
    return RadixState(population, neurons, batch)


@_rest.register
def _(population: RadixMax, neurons: int, batch: int) -> State:
    return RadixMaxState(population, neurons, batch)
