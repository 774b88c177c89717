r"""Integrate-then-fire without gates and loops, as a chain of dense layers can say it.

A netx file has no source but the input, and a loop in it takes back 127 at most. In the circuit
of the temporal lowering, constant sources close and open populations, and loops subtract what
may be more. `currents` turns both into currents at known steps; here these come from the
input.

What has to reach block :math:`k`, with block 0 the first population, is sent by *relays*:
neurons appended to block :math:`k - 1`, of which as many spike at once as it takes weights of
127 to add up to the current. A relay is a switch: :math:`u` does not decay, so it spikes in
every step from a positive current to a negative one. These are spikes of relays of the block
before, one for on and one for off, and so on down to block 0. That gets everything from *clock
channels*, inputs beside the sample. They are graded: a current of any size takes one for each
digit to the base 128, and a switch takes one.

So nothing reaches block :math:`k` before step :math:`k + 1`, as no spike of the sample does.

The stock reader resets block :math:`k` a step after block :math:`k - 1`, and so does the
rewritten circuit. All has been switched off and closed by the end of the sample.

The neurons of the original population come first, and spike in the steps they did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from targets.netx.chain import LAVA, Link, constant_sources, links_of
from targets.netx.clock import CLOCK
from targets.netx.currents import Steps, currents_of, require_integrating
from targets.netx.weights import WEIGHT_MAX, effective_weight
from toolchain.errors import EmitError
from toolchain.ir.mapped import Circuit, DenseSynapse, IntArray, Lif, Source, Synapse
from toolchain.schedule import SEQUENTIAL, schedule_of

DIGIT_BITS = 7


class DenseLink(NamedTuple):
    """A population of a dense layer, and its input."""

    population: Lif
    synapse: DenseSynapse


class Relay(NamedTuple):
    """A neuron beside those of a population, or a clock channel.

    Attributes:
        inputs: Weights of what switches it, by number among the relays or channels before it;
            none of a channel.
        drive: What it adds to the neurons of the next block; `None` for nothing.
    """

    inputs: Mapping[int, int]
    drive: IntArray | None = None


@dataclass
class Layer:
    """Relays of a block, or clock channels.

    Attributes:
        relays: In the order of their neurons.
        switches: Numbers of those that drive relays only, by the steps in which they spike.
    """

    relays: list[Relay] = field(default_factory=list)
    switches: dict[Steps, int] = field(default_factory=dict)

    def add(self, relay: Relay) -> int:
        """Append a relay and return its number."""
        self.relays.append(relay)
        return len(self.relays) - 1


class Clock:
    """The input beside the sample, and the relays of each block that pass it on.

    Attributes:
        layers: Clock channels, then the relays of each block.
        payloads: What the channels send, by step and channel.
    """

    def __init__(self, blocks: int) -> None:
        self.layers = [Layer() for _ in range(blocks + 1)]
        self.payloads: dict[int, dict[int, int]] = {}

    def deliver(self, depth: int, steps: Steps, current: IntArray) -> None:
        """Have a current sent to block ``depth`` in each of ``steps``."""
        if depth == 0:
            for payload, drive in _digits(current):
                self._channel(dict.fromkeys(steps, payload), drive)
            return
        inputs = self._switch(depth, steps)
        for drive in _shares(current):
            self.layers[depth].add(Relay(inputs, drive))

    def _switch(self, place: int, steps: Steps) -> dict[int, int]:
        """Return the inputs of a relay in ``layers[place]`` that spikes in ``steps``."""
        starts = tuple(step - 1 for step in steps if step - 1 not in steps)
        ends = tuple(step for step in steps if step + 1 not in steps)
        if place > 1:
            on, off = self._passing(place - 1, starts), self._passing(place - 1, ends)
            return {on: WEIGHT_MAX, off: -WEIGHT_MAX}
        switches = self.layers[0].switches
        if steps not in switches:
            payloads = dict.fromkeys(starts, 1) | dict.fromkeys(ends, -1)
            switches[steps] = self._channel(payloads, None)
        return {switches[steps]: WEIGHT_MAX}

    def _passing(self, place: int, steps: Steps) -> int:
        switches = self.layers[place].switches
        if steps not in switches:
            switches[steps] = self.layers[place].add(Relay(self._switch(place, steps)))
        return switches[steps]

    def _channel(self, payloads: dict[int, int], drive: IntArray | None) -> int:
        channel = self.layers[0].add(Relay({}, drive))
        for step, payload in payloads.items():
            self.payloads.setdefault(step, {})[channel] = payload
        return channel

    def sources(self) -> tuple[Source, ...]:
        """Return the source that sends the channels; none if there is no channel."""
        channels = len(self.layers[0].relays)
        if not channels:
            return ()
        events = []
        for step, payloads in sorted(self.payloads.items()):
            values = np.zeros(channels, np.int64)
            values[list(payloads)] = list(payloads.values())
            events.append((step, values))
        largest = max(int(np.abs(values).max()) for _, values in events)
        return (
            Source(
                name=CLOCK,
                shape=(channels,),
                message_bits=largest.bit_length() + 1,
                events=tuple(events),
            ),
        )


def relay_gates(circuit: Circuit) -> Circuit:
    """Return the circuit with one constant source, which drives the first population.

    The same object if nothing but samples is sent.

    Raises:
        EmitError: There is a convolution, samples overlap, or populations do something else
            than to integrate, fire and be closed.
    """
    if not any(source.events for source in constant_sources(circuit)):
        return circuit
    links = [_dense_link(link) for link in links_of(circuit)]
    _require_sequential(circuit)
    clock = Clock(len(links))
    for depth, (population, synapse) in enumerate(links):
        for steps, current in currents_of(circuit, population, synapse.source, depth).items():
            _require_in_time(circuit, population, steps)
            clock.deliver(depth, steps, current)
    for layer, link in zip(clock.layers[1:], links, strict=True):
        window = circuit.windows.get(link.population.name)
        while window is not None and len(layer.relays) % window.copies:
            layer.add(Relay({}))  # never spikes; units are made of so many neurons
    return _assembled(circuit, links, clock)


def _require_sequential(circuit: Circuit) -> None:
    if schedule_of(circuit) != SEQUENTIAL:
        raise EmitError(
            f"takes a sample every {circuit.period} steps, and each for {circuit.latency}, so "
            "that populations are reset at different times; the stock netx reader resets each "
            "one step after the one before it",
            node=circuit.name,
            hint=f"compile with --schedule sequential; or {LAVA}",
        )


def _dense_link(link: Link) -> DenseLink:
    population, synapse = link
    if not isinstance(synapse, DenseSynapse) or len(population.shape) != 1:
        raise EmitError(
            f"of shape {population.shape}, has to be told when to fire; in a netx file only "
            "neurons of dense layers, (N,), can be",
            node=population.name,
            hint=f"{LAVA}; or compile a network of one window with --lowering spatial",
        )
    if synapse.delay is not None:
        raise EmitError(
            "has delays, and the circuit has gates; relays take one step a population",
            node=synapse.name,
            hint=LAVA,
        )
    return DenseLink(population, synapse)


def _require_in_time(circuit: Circuit, population: Lif, steps: Steps) -> None:
    if steps[-1] + 1 >= circuit.period:
        raise EmitError(
            f"is sent something in step {steps[-1]}; with a new sample every {circuit.period} "
            f"steps, relays need that by step {circuit.period - 2}",
            node=population.name,
            hint=LAVA,
        )


def _digits(current: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield payloads and weights whose products add up to a current."""
    unit = int(np.gcd.reduce(current))
    rest, sign = np.abs(current) // unit, np.sign(current)
    while rest.any():
        digit = sign * (rest & WEIGHT_MAX)
        if digit.any():
            yield unit, digit
        unit, rest = unit << DIGIT_BITS, rest >> DIGIT_BITS


def _shares(current: IntArray) -> Iterator[IntArray]:
    """Yield as few weights as can be that add up to a current."""
    while current.any():
        share = np.clip(current, -WEIGHT_MAX, WEIGHT_MAX)
        current = current - share
        yield share


def _assembled(circuit: Circuit, links: list[DenseLink], clock: Clock) -> Circuit:
    synapses: list[Synapse] = []
    for depth, (_, synapse) in enumerate(links):
        before, here = clock.layers[depth : depth + 2]
        weight = effective_weight(synapse)
        passing = _passing_weight(before, here, len(weight))
        weight = np.pad(weight, ((0, len(here.relays)), (0, 0)))
        if depth:
            weight = np.hstack([weight, passing])
        elif before.relays:
            name = f"{CLOCK}->{synapse.target}"
            synapses.append(_dense(name, CLOCK, synapse.target, passing))
        synapses.append(_dense(synapse.name, synapse.source, synapse.target, weight))
    samples = tuple(source for source in circuit.sources if source.name == circuit.input)
    return dataclasses.replace(
        circuit,
        sources=samples + clock.sources(),
        populations=tuple(
            _with_relays(link.population, len(layer.relays), depth)
            for depth, (link, layer) in enumerate(zip(links, clock.layers[1:], strict=True))
        ),
        synapses=tuple(synapses),
    )


def _passing_weight(before: Layer, here: Layer, neurons: int) -> IntArray:
    """Return weights of relays or channels into neurons and relays, a column each."""
    weight = np.zeros((neurons + len(here.relays), len(before.relays)), np.int64)
    for column, relay in enumerate(before.relays):
        if relay.drive is not None:
            weight[:neurons, column] = relay.drive
    for row, relay in enumerate(here.relays, start=neurons):
        for column, switch in relay.inputs.items():
            weight[row, column] = switch
    return weight


def _dense(name: str, source: str, target: str, weight: IntArray) -> DenseSynapse:
    is_mixed = weight.min() < 0 < weight.max()
    return DenseSynapse(
        name=name,
        source=source,
        target=target,
        weight=2 * weight if is_mixed else weight,
        weight_exponent=-1 if is_mixed else 0,
    )


def _with_relays(lif: Lif, relays: int, depth: int) -> Lif:
    if relays:
        require_integrating(lif)
        if np.size(lif.threshold) > 1 or np.max(lif.threshold) >= WEIGHT_MAX:
            raise EmitError(
                f"has thresholds of {np.min(lif.threshold)} to {np.max(lif.threshold)}; beside "
                f"relays one number below {WEIGHT_MAX} is allowed",
                node=lif.name,
                hint=LAVA,
            )
    offset, interval = lif.reset_offset, lif.reset_interval
    return dataclasses.replace(
        lif,
        shape=(lif.shape[0] + relays,),
        reset_offset=offset if interval is None else (offset + depth) % interval,
    )
