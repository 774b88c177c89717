"""Parts of a circuit that can run alone: all before some populations, or one population alone.

What a population alone reads are the spikes of others, which are known, and its own, which are
known as well. So its neurons do not depend on one another, and a few of them can run without
the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    IntArray,
    Lif,
    Population,
    Shape,
    Source,
    SparseSynapse,
    Synapse,
)

Parameter: TypeAlias = "int | IntArray"


def all_before(circuit: Circuit, names: Collection[str]) -> Circuit:
    """Return the circuit of some populations and all that they depend on."""
    needed = populations_before(circuit, names)
    return _part(circuit, needed, circuit.synapses, circuit.sources)


def alone(
    circuit: Circuit, name: str, neurons: Sequence[int], known: Collection[str]
) -> Circuit:
    """Return the circuit of one population that is told what others, and it, have sent.

    Args:
        circuit: Whole.
        name: Of the population.
        known: Populations whose spikes are known: where they are read they become sources named
            by `told`. Others that are read stay.
        neurons: Numbers of some of its neurons, channels first; empty for all. Only `Lif`
            populations can be run in part, and all others are run whole.
    """
    needed = populations_before(circuit, [name], stop=known)
    synapses = [
        dataclasses.replace(synapse, source=told(synapse.source))
        if synapse.source in known
        else synapse
        for synapse in circuit.synapses
        if synapse.target in needed
    ]
    sent = {synapse.source for synapse in circuit.synapses if synapse.target in needed}
    sources = [
        Source(name=told(node.name), shape=node.shape)
        for node in circuit.populations
        if node.name in sent and node.name in known
    ]
    part = _part(circuit, needed, synapses, (*circuit.sources, *sources))
    return _some_neurons(part, name, neurons) if can_be_divided(part, name, neurons) else part


def populations_before(
    circuit: Circuit, names: Collection[str], stop: Collection[str] = ()
) -> set[str]:
    """Return the populations that some depend on, not past those in ``stop``, and these."""
    populations = {node.name for node in circuit.populations}
    found, front = {*names}, [*names]
    while front:
        for synapse in circuit.into(front.pop()):
            source = synapse.source
            if source in populations and source not in found and source not in stop:
                found.add(source)
                front.append(source)
    return found


def told(name: str) -> str:
    """Return the name of the source that sends the spikes of a population."""
    return f"{name}/told"


def can_be_divided(circuit: Circuit, name: str, neurons: Sequence[int]) -> bool:
    """Tell whether a few neurons of a population can be run without the others."""
    kinds = (DenseSynapse, SparseSynapse, ConvSynapse)
    return (
        bool(neurons)
        and isinstance(circuit.nodes[name], Lif)
        and all(isinstance(synapse, kinds) for synapse in circuit.into(name))
        and not any(synapse.source == name for synapse in circuit.synapses)
    )


def _part(
    circuit: Circuit,
    needed: Collection[str],
    synapses: Collection[Synapse],
    sources: Collection[Source],
) -> Circuit:
    kept = tuple(synapse for synapse in synapses if synapse.target in needed)
    read = {synapse.source for synapse in kept} | set(circuit.inputs)
    return dataclasses.replace(
        circuit,
        sources=tuple(source for source in sources if source.name in read),
        populations=tuple(node for node in circuit.populations if node.name in needed),
        synapses=kept,
        windows={name: circuit.windows[name] for name in circuit.windows if name in needed},
        readouts=(),
    )


def _some_neurons(circuit: Circuit, name: str, neurons: Sequence[int]) -> Circuit:
    rows = np.asarray(neurons, np.int64)
    whole = circuit.nodes[name].shape
    return dataclasses.replace(
        circuit,
        populations=tuple(
            _some_of(node, rows) if node.name == name else node for node in circuit.populations
        ),
        synapses=tuple(
            _rows_of(synapse, circuit.nodes[synapse.source].shape, whole, rows)
            if synapse.target == name
            else synapse
            for synapse in circuit.synapses
        ),
        windows={},
    )


def _some_of(population: Population, rows: IntArray) -> Population:
    if not isinstance(population, Lif):
        return population

    def of(value: Parameter) -> Parameter:
        array = np.asarray(value)
        if array.size == 1:
            return int(array.reshape(()))
        return np.broadcast_to(array, population.shape).ravel()[rows]

    return dataclasses.replace(
        population,
        shape=(len(rows),),
        threshold=of(population.threshold),
        decay_u=of(population.decay_u),
        decay_v=of(population.decay_v),
        bias_mantissa=of(population.bias_mantissa),
    )


def _rows_of(synapse: Synapse, source: Shape, target: Shape, rows: IntArray) -> Synapse:
    """Return the part of a synapse that drives some neurons of a population."""
    if isinstance(synapse, ConvSynapse):
        return SparseSynapse(
            name=synapse.name,
            source=synapse.source,
            target=synapse.target,
            weight=_matrix_rows(synapse, source, target, rows),
            weight_exponent=-1,
        )
    if isinstance(synapse, DenseSynapse):
        delay = synapse.delay
        if delay is not None and delay.ndim == 2:
            delay = np.broadcast_to(delay, synapse.weight.shape)[rows]
        return dataclasses.replace(synapse, weight=synapse.weight[rows], delay=delay)
    if isinstance(synapse, SparseSynapse):
        return dataclasses.replace(synapse, weight=synapse.weight[rows])
    raise TypeError(f"{type(synapse).__name__} cannot be divided")


def _matrix_rows(
    synapse: ConvSynapse, source: Shape, target: Shape, rows: IntArray
) -> scipy.sparse.csr_matrix:
    """Return rows of a convolution's matrix, ``(rows, inputs)``, with twice its weights.

    Synapses of a matrix with both signs hold even weights, and are halved by their exponent.
    """
    parts = [_matrix_row(synapse, source, *_place(target, int(row))) for row in rows]
    columns, values = zip(*parts, strict=True)
    lengths = [len(part) for part in columns]
    return scipy.sparse.csr_matrix(
        (
            2 * np.concatenate(values).astype(np.int64),
            np.concatenate(columns),
            np.cumsum([0, *lengths]),
        ),
        shape=(len(rows), int(np.prod(source))),
    )


def _matrix_row(
    synapse: ConvSynapse, source: Shape, channel: int, row: int, column: int
) -> tuple[IntArray, npt.NDArray[Any]]:
    """Return the inputs that one output of a convolution reads, and with which weights."""
    inputs, height, width = source
    per_group = inputs // synapse.groups
    group = channel * synapse.groups // len(synapse.weight)
    kernel = synapse.weight[channel]
    ys, xs = (
        place * stride - padding + np.arange(size) * dilation
        for place, stride, padding, size, dilation in zip(
            (row, column),
            synapse.stride,
            synapse.padding,
            kernel.shape[1:],
            synapse.dilation,
            strict=True,
        )
    )
    is_inside = ((ys >= 0) & (ys < height))[:, None] & ((xs >= 0) & (xs < width))
    channels = group * per_group + np.arange(per_group)
    numbers = (channels[:, None, None] * height + ys[:, None]) * width + xs
    is_read = is_inside & (kernel != 0)
    return numbers[is_read], kernel[is_read]


def _place(shape: Shape, neuron: int) -> Iterator[int]:
    return (int(part) for part in np.unravel_index(neuron, shape))
