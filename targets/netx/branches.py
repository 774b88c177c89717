"""What a circuit with branches would take of a netx file, were it written as a chain.

Populations as far from the input would be one layer, and synapses between two layers one dense
matrix. Spikes that skip a layer would be passed on by neurons of it, with a weight of 1 and a
threshold of 0, as a file has a threshold for each neuron. Such neurons forget what they have
sent. A layer has one decay, so they cannot stand beside neurons that keep their sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod

import numpy as np

from targets.netx.weights import WEIGHT_MAX
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Population,
    SparseSynapse,
    Synapse,
)

_ALL = 4096
"""Parts of a current that are lost where nothing is kept."""


def cost_of_chain(circuit: Circuit) -> str:
    """Return in numbers what a chain would take, or why there can be none."""
    for population in circuit.populations:
        if isinstance(population, Lif) and np.min(population.decay_u) < _ALL:
            return (
                "as one, it would pass spikes on by neurons that keep nothing, and those of "
                f"{population.name!r} keep their sums; a layer has one decay for all"
            )
    depths = _depths(circuit)
    layers = range(1, max(depths.values()) + 1)
    neurons = Counter({0: _size(circuit, circuit.input)})
    for population in circuit.populations:
        neurons[depths[population.name]] += prod(population.shape)
    passing = _passing(circuit, depths)
    neurons.update(passing)
    for population in circuit.populations:
        if _only_passes(circuit, population):
            passing[depths[population.name]] += prod(population.shape)
    weights = sum(neurons[layer] * neurons[layer - 1] for layer in layers)
    return (
        f"as one, its layers would have {_listed(neurons[layer] for layer in layers)} neurons, "
        f"{_listed(passing[layer] for layer in layers)} of them to pass spikes on, and "
        f"{weights} weights up to {_largest_weight(circuit)}, of {WEIGHT_MAX} that one holds"
    )


def _depths(circuit: Circuit) -> Mapping[str, int]:
    """Return the length of the longest way from a source to each population."""
    depths = {source.name: 0 for source in circuit.sources}
    waiting = [population.name for population in circuit.populations]
    while waiting:
        name = next(
            (n for n in waiting if all(s.source in depths for s in _others(circuit, n))),
            waiting[0],  # in a loop
        )
        waiting.remove(name)
        before = [depths.get(synapse.source, 0) for synapse in _others(circuit, name)]
        depths[name] = 1 + max(before, default=0)
    return depths


def _others(circuit: Circuit, population: str) -> list[Synapse]:
    return [s for s in circuit.into(population) if s.source != population]


def _only_passes(circuit: Circuit, population: Population) -> bool:
    """Tell whether each neuron of a population does what one neuron before it did."""
    synapses = circuit.into(population.name)
    return len(synapses) == 1 and isinstance(population, Lif) and _is_relay(*synapses)


def _is_relay(synapse: Synapse) -> bool:
    if not isinstance(synapse, SparseSynapse):
        return False
    has_one = np.diff(synapse.weight.tocsr().indptr) <= 1
    return bool(has_one.all() and (synapse.weight.data == 1).all())


def _passing(circuit: Circuit, depths: Mapping[str, int]) -> Counter[int]:
    """Return how many more neurons each layer would need, to pass spikes on."""
    last: dict[str, int] = {}
    for synapse in circuit.synapses:
        last[synapse.source] = max(last.get(synapse.source, 0), depths[synapse.target])
    passing: Counter[int] = Counter()
    for name, reached in last.items():
        for layer in range(depths[name] + 1, reached):
            passing[layer] += _size(circuit, name)
    return passing


def _size(circuit: Circuit, name: str) -> int:
    return prod(circuit.nodes[name].shape)


def _largest_weight(circuit: Circuit) -> int:
    """Return the most that one spike adds to a neuron, through all synapses on its way."""
    most: Counter[tuple[str, str]] = Counter()
    for synapse in circuit.synapses:
        if isinstance(synapse, (ConvSynapse, DenseSynapse, SparseSynapse)):
            exponent = getattr(synapse, "weight_exponent", 0)
            largest = int(max(synapse.weight.max(), -synapse.weight.min()) * 2.0**exponent)
            most[synapse.source, synapse.target] += largest
    return max(most.values(), default=0)


def _listed(numbers: Iterable[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
