r"""Gates as relays: a circuit with constant sources becomes one that a netx file can say.

A netx file has no source but the input. What constant sources send is therefore carried by
*clock channels* beside the sample, and forwarded by *relays*: neurons appended to each
population, one step a population, which fire once for each spike that they get.

With block 0 the first population, what a source sends to block :math:`k` at step :math:`s` is
sent by relays of block :math:`k - 1`. The clock emits at :math:`s - k`, a relay in each block
on the way passes that on, and the last of them are as many as it takes weights of 127 to add
up to the current. Block 0 gets everything from the clock itself, as graded payloads. The clock
cannot be early enough for :math:`s < k`; that is sent at :math:`s = k`, in time for the first
spikes of block :math:`k - 1`, and it must be nothing that would make a neuron fire before.

A relay is a neuron of its population, with the same registers: a spike adds 127, the
self-inhibition takes 127 away, and nothing decays. Every population has one at least: with a
weight of 127 in every layer, the stock reader takes all layers with the same exponent, and
meets none of the powers of two that it misreads.

The stock reader resets block :math:`k` a step later than block :math:`k - 1`, so the rewritten
circuit does. Each population has to be silent from the end of the sample to there, as those of
the temporal lowering are: their last event closes them.

The neurons of the original population come first, and do in every step what they did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.sparse

from targets.formats._netx_chain import LAVA, Link, constant_sources, links_of
from targets.formats._netx_weights import effective_weight
from toolchain.errors import EmitError
from toolchain.fixedpoint import DECAY_UNITY
from toolchain.ir.mapped import (
    Circuit,
    DenseSynapse,
    IntArray,
    Lif,
    Source,
    SparseSynapse,
    Synapse,
)

WEIGHT = 127
"""What a spike of a relay adds at most: the largest weight of a layer of both signs."""

CLOCK = "clock"

SPATIAL = "compile with --lowering spatial"


class Pulse(NamedTuple):
    """A current that some steps have in common.

    Attributes:
        steps: In which it is sent.
        current: That it adds to each neuron.
    """

    steps: tuple[int, ...]
    current: IntArray


@dataclass
class _Block:
    """A population with its relays.

    Attributes:
        population: As it was.
        synapse: From what is before it, as it was.
        inhibition: What a spike of each neuron takes away from all, ``(neurons, neurons)``.
        drivers: For each relay, what drives it: a relay of the block before, or a channel.
        drives: For each relay, what its spike adds to the neurons of the next block.
    """

    population: Lif
    synapse: DenseSynapse
    inhibition: IntArray
    drivers: list[int] = field(default_factory=list)
    drives: list[IntArray | None] = field(default_factory=list)

    def add_relay(self, driver: int, drive: IntArray | None = None) -> int:
        """Append a relay and return its number."""
        self.drivers.append(driver)
        self.drives.append(drive)
        return len(self.drivers) - 1


@dataclass
class _Clock:
    """Channels beside the sample.

    Attributes:
        columns: For each channel, what a payload of 1 adds to the neurons of block 0.
        events: Payloads by step and channel.
    """

    columns: list[IntArray | None] = field(default_factory=list)
    events: dict[int, dict[int, int]] = field(default_factory=dict)

    def add_channel(self, payloads: dict[int, int], column: IntArray | None = None) -> int:
        """Append a channel with its payloads by step and return its number."""
        channel = len(self.columns)
        self.columns.append(column)
        for step, payload in payloads.items():
            self.events.setdefault(step, {})[channel] = payload
        return channel


def relay_gates(circuit: Circuit) -> Circuit:
    """Return a circuit with one constant source, `CLOCK`, that drives the first population.

    The same object where there is no constant source.

    Raises:
        EmitError: There are populations that are not ``(N,)``, loops that take back more than
            `WEIGHT`, neurons that lose what relays have to hold, or delays.
    """
    constants = constant_sources(circuit)
    if not constants:
        return circuit
    blocks = [_block(circuit, link) for link in links_of(circuit)]
    clock = _Clock()
    for depth, block in enumerate(blocks):
        events = _events(circuit, block.population, constants)
        if depth:
            _add_relays(clock, blocks[:depth], _postponed(block.population, events, depth))
        else:
            _add_channels(clock, events)
    for depth, block in enumerate(blocks[:-1]):
        if not block.drivers:
            block.add_relay(clock.add_channel({}) if depth == 0 else 0)
    return _assembled(circuit, clock, blocks)


def _block(circuit: Circuit, link: Link) -> _Block:
    population, synapse = link
    if len(population.shape) != 1 or not isinstance(synapse, DenseSynapse):
        raise EmitError(
            "is gated by constant sources and has a convolution before it; a netx file has "
            "reset by subtraction for dense layers only",
            node=population.name,
            hint=f"{SPATIAL}, or {LAVA}",
        )
    if synapse.delay is not None:
        raise EmitError(
            "has delays in a circuit with constant sources; relays have none",
            node=synapse.name,
            hint=LAVA,
        )
    return _Block(population, synapse, _inhibition(circuit, population))
