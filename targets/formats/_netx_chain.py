"""A circuit as the one shape of network that a netx file can hold: a chain without branches."""

from __future__ import annotations

from typing import NamedTuple

from toolchain.errors import EmitError
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Population,
    Source,
    SparseSynapse,
    Synapse,
)

LAVA = "write the format 'lava' instead: --format lava"
"""The way out of what no netx file can say."""


class Block(NamedTuple):
    """One population with what drives it.

    Attributes:
        population: LIF neurons.
        synapse: From the source or population before it.
        recurrent: From the population to itself; `None` for none.
    """

    population: Lif
    synapse: ConvSynapse | DenseSynapse
    recurrent: DenseSynapse | SparseSynapse | None


class Chain(NamedTuple):
    """Source and blocks in the order in which spikes pass them."""

    source: Source
    blocks: tuple[Block, ...]


def chain_of(circuit: Circuit) -> Chain:
    """Return the circuit as a chain.

    Raises:
        EmitError: It has constant sources, branches, loops over several populations (a second
            synapse arrives at the first of them), or neurons and synapses that no layer of a
            netx file stands for.
    """
    source = _only_source(circuit)
    blocks: list[Block] = []
    here = source.name
    while following := _following(circuit, here):
        if len(following) > 1:
            raise EmitError(
                f"{len(following)} synapses leave for other populations "
                f"({', '.join(synapse.name for synapse in following)}); a netx file is a chain",
                node=here,
                hint=LAVA,
            )
        population = circuit.nodes[following[0].target]
        blocks.append(_block(circuit, population, following[0]))
        here = population.name
    _require_all_reached(circuit, blocks)
    return Chain(source, tuple(blocks))


def _only_source(circuit: Circuit) -> Source:
    for source in circuit.sources:
        if source.name != circuit.input:
            raise EmitError(
                "emits constant events; a netx file has no source but the input",
                node=source.name,
                hint="compile with --lowering spatial, or " + LAVA,
            )
    (source,) = circuit.sources
    if len(source.shape) not in (1, 3):
        raise EmitError(
            f"has shape {source.shape}; (C, H, W) or (N,) is allowed",
            node=source.name,
            hint="give the input one or three axes",
        )
    return source


def _following(circuit: Circuit, name: str) -> list[Synapse]:
    return [s for s in circuit.synapses if s.source == name and s.target != name]


def _block(circuit: Circuit, population: Source | Population, synapse: Synapse) -> Block:
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
    others = [s for s in circuit.into(population.name) if s is not synapse]
    recurrent = others[0] if others else None
    if len(others) > 1 or (recurrent is not None and recurrent.source != population.name):
        raise EmitError(
            f"{1 + len(others)} synapses arrive "
            f"({', '.join(s.name for s in circuit.into(population.name))}); "
            "a netx file has one, or one and one from the population itself",
            node=population.name,
            hint=LAVA,
        )
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


def _require_all_reached(circuit: Circuit, blocks: list[Block]) -> None:
    reached = {block.population.name for block in blocks}
    for population in circuit.populations:
        if population.name not in reached:
            raise EmitError(
                "is not reached from the input; a netx file is a chain",
                node=population.name,
                hint=LAVA,
            )
    if not blocks:
        raise EmitError("the circuit has no population", node=circuit.name)
