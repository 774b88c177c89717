"""A circuit as the one shape of network that a netx file can hold: a chain without branches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from targets.netx.branches import cost_of_chain
from toolchain.errors import EmitError
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Source,
    SparseSynapse,
    Synapse,
)
from toolchain.ir.radix import Radix, RadixMax

LAVA = "write the format 'lava' instead: --format lava"
"""The way out of what no netx file can say."""


class Link(NamedTuple):
    """A population, and the synapse from the source or population before it."""

    population: Lif
    synapse: ConvSynapse | DenseSynapse


class Block(NamedTuple):
    """One population with what drives it.

    Attributes:
        population: LIF neurons.
        synapse: From the source or population before it.
        recurrent: From the population to itself; `None` for none.
        clock: From the clock; `None` for all but the first block, or where there is none.
    """

    population: Lif
    synapse: ConvSynapse | DenseSynapse
    recurrent: DenseSynapse | SparseSynapse | None
    clock: DenseSynapse | None = None


class Chain(NamedTuple):
    """Sources and blocks in the order in which spikes pass them.

    Attributes:
        source: Of the samples.
        clock: A constant source that drives the first population; `None` for none.
        blocks: From the first population on.
    """

    source: Source
    clock: Source | None
    blocks: tuple[Block, ...]


def chain_of(circuit: Circuit) -> Chain:
    """Return the circuit as a chain.

    Raises:
        EmitError: It has constant sources beside one into a first dense layer, branches, loops
            over several populations (a second synapse arrives at the first of them), or neurons
            and synapses that no layer of a netx file stands for.
    """
    source = circuit.nodes[circuit.input]
    if not isinstance(source, Source) or len(source.shape) not in (1, 3):
        raise EmitError(
            f"has shape {source.shape}; (C, H, W) or (N,) is allowed",
            node=source.name,
            hint="give the input one or three axes",
        )
    links = links_of(circuit)
    constants = constant_sources(circuit)
    clock = _clock_synapse(circuit, constants, links[0]) if constants else None
    blocks = [_block(circuit, link, clock) for link in links]
    blocks[0] = blocks[0]._replace(clock=clock)
    return Chain(source, constants[0] if constants else None, tuple(blocks))


def require_stock_neurons(circuit: Circuit) -> None:
    """Refuse the neurons of the radix lowering.

    Raises:
        EmitError: There are some; whatever else a netx file cannot say, this comes first.
    """
    for population in circuit.populations:
        if isinstance(population, Radix | RadixMax):
            raise EmitError(
                "needs a neuron program of its own; a netx file has stock neurons only",
                node=population.name,
                hint="compile with --lowering spatial or temporal, or " + LAVA,
            )


def require_single_ends(circuit: Circuit) -> None:
    """Refuse several inputs or outputs.

    Raises:
        EmitError: There are some; it names the second.
    """
    read = [readout.population for readout in circuit.readouts]
    for what, names in (("inputs", circuit.inputs), ("outputs", read)):
        if len(names) > 1:
            raise EmitError(
                f"is the second of {len(names)} {what}; a netx file is a chain from one input "
                "to one output",
                node=names[1],
                hint=LAVA,
            )


def constant_sources(circuit: Circuit) -> tuple[Source, ...]:
    """Return the sources that do not carry the sample."""
    return tuple(source for source in circuit.sources if source.name != circuit.input)


def links_of(circuit: Circuit) -> tuple[Link, ...]:
    """Return the populations in a row, from the input on.

    Raises:
        EmitError: There are branches, populations that are not reached, or neurons or synapses
            that no layer of a netx file stands for.
    """
    links = tuple(_links(circuit))
    reached = {link.population.name for link in links}
    for population in circuit.populations:
        if population.name not in reached:
            raise EmitError(
                "is not reached from the input; a netx file is a chain",
                node=population.name,
                hint=LAVA,
            )
    if not links:
        raise EmitError("the circuit has no population", node=circuit.name)
    return links


def _links(circuit: Circuit) -> Iterator[Link]:
    here, reached = circuit.input, set[str]()
    while following := [s for s in circuit.synapses if s.source == here != s.target]:
        if len(following) > 1:
            raise EmitError(
                f"{len(following)} synapses leave for other populations "
                f"({', '.join(synapse.name for synapse in following)}); a netx file is a "
                f"chain: {cost_of_chain(circuit)}",
                node=here,
                hint=LAVA,
            )
        here = following[0].target
        if here in reached:
            raise _several(circuit, here)
        reached.add(here)
        yield _link(circuit, following[0])


def _link(circuit: Circuit, synapse: Synapse) -> Link:
    population = circuit.nodes[synapse.target]
    if not isinstance(population, Lif):
        raise EmitError(
            f"is a {type(population).__name__}; only LIF neurons are written",
            node=population.name,
            hint="convert the network to LIF neurons",
        )
    if not isinstance(synapse, ConvSynapse | DenseSynapse):
        raise EmitError(
            f"is a {type(synapse).__name__}; between two populations a netx file has "
            "convolutions and dense matrices",
            node=synapse.name,
            hint=LAVA,
        )
    return Link(population, synapse)


def _clock_synapse(
    circuit: Circuit, constants: tuple[Source, ...], first: Link
) -> DenseSynapse:
    names = {source.name for source in constants}
    leaving = [synapse for synapse in circuit.synapses if synapse.source in names]
    if (
        len(names) == len(leaving) == 1
        and isinstance(leaving[0], DenseSynapse)
        and isinstance(first.synapse, DenseSynapse)
        and leaving[0].target == first.population.name
    ):
        return leaving[0]
    raise EmitError(
        "emits constant events; a netx file has no source but the input",
        node=constants[0].name,
        hint="compile with --lowering spatial, or " + LAVA,
    )


def _block(circuit: Circuit, link: Link, clock: Synapse | None) -> Block:
    population, synapse = link
    others = [s for s in circuit.into(population.name) if s not in (synapse, clock)]
    recurrent = others[0] if others else None
    if len(others) > 1 or (recurrent is not None and recurrent.source != population.name):
        raise _several(circuit, population.name)
    if recurrent is None:
        return Block(population, synapse, None)
    if not isinstance(synapse, DenseSynapse) or not isinstance(
        recurrent, DenseSynapse | SparseSynapse
    ):
        raise EmitError(
            "drives its own population beside a convolution; a netx file has loops beside "
            "dense matrices only",
            node=recurrent.name,
            hint=LAVA,
        )
    return Block(population, synapse, recurrent)


def _several(circuit: Circuit, population: str) -> EmitError:
    arriving = circuit.into(population)
    return EmitError(
        f"{len(arriving)} synapses arrive ({', '.join(s.name for s in arriving)}); "
        "a netx file has one, or one and one from the population itself",
        node=population,
        hint=LAVA,
    )
