"""How large a circuit is: its neurons and its connections."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, SparseSynapse, Synapse
from toolchain.ir.node import Shape


def count_neurons(circuit: Circuit) -> int:
    """Return the number of neurons, copies and read-outs included."""
    return sum(int(np.prod(population.shape)) for population in circuit.populations)


def count_synapses(circuit: Circuit) -> int:
    """Return the number of connections with a weight other than 0.

    A shared kernel counts once for every pair of neurons that it connects; what falls on
    padding connects nothing.
    """
    return sum(
        count_connections(
            synapse, circuit.nodes[synapse.source].shape, circuit.nodes[synapse.target].shape
        )
        for synapse in circuit.synapses
    )


@singledispatch
def count_connections(synapse: Synapse, source: Shape, target: Shape) -> int:
    """Return the number of connections of one synapse between populations of these shapes."""
    raise NotImplementedError(type(synapse).__name__)


@count_connections.register
def _(synapse: DenseSynapse, source: Shape, target: Shape) -> int:
    return int(np.count_nonzero(synapse.weight))


@count_connections.register
def _(synapse: SparseSynapse, source: Shape, target: Shape) -> int:
    return int(np.count_nonzero(synapse.weight.data))


@count_connections.register
def _(synapse: ConvSynapse, source: Shape, target: Shape) -> int:
    per_tap = np.count_nonzero(synapse.weight, axis=(0, 1))
    rows, columns = (
        np.array(
            [_hits(synapse, axis, tap, source, target) for tap in range(per_tap.shape[axis])]
        )
        for axis in (0, 1)
    )
    return int(rows @ per_tap @ columns)


def _hits(synapse: ConvSynapse, axis: int, tap: int, source: Shape, target: Shape) -> int:
    """Count the output positions along an axis whose kernel entry ``tap`` meets the input."""
    position = np.arange(target[axis + 1]) * synapse.stride[axis]
    position += tap * synapse.dilation[axis] - synapse.padding[axis]
    return int(((position >= 0) & (position < source[axis + 1])).sum())
