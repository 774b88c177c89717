"""How many synapses a spike meets: what synaptic operations are counted by."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import scipy.sparse

from targets.simulator._layout import row_order, to_rows
from toolchain.errors import VerifyError
from toolchain.ir.mapped import (
    ConvSynapse,
    DenseSynapse,
    IntArray,
    Shape,
    SparseSynapse,
    Synapse,
)


@singledispatch
def fan_out(synapse: Synapse, source: Shape, target: Shape) -> IntArray:
    """Return the number of weights other than 0 behind every neuron of the source, as a row.

    Raises:
        VerifyError: The synapse is of an unknown kind.
    """
    raise VerifyError(
        f"the simulator does not know a {type(synapse).__name__}", node=synapse.name
    )


@fan_out.register
def _(synapse: DenseSynapse, source: Shape, target: Shape) -> IntArray:
    return np.count_nonzero(synapse.weight, axis=0).astype(np.int64)[row_order(source)]


@fan_out.register
def _(synapse: SparseSynapse, source: Shape, target: Shape) -> IntArray:
    weight = scipy.sparse.csc_matrix(synapse.weight, copy=True)
    weight.eliminate_zeros()
    return np.diff(weight.indptr).astype(np.int64)[row_order(source)]


@fan_out.register
def _(synapse: ConvSynapse, source: Shape, target: Shape) -> IntArray:
    out_channels, per_group, *kernel = synapse.weight.shape
    by_group = (synapse.groups, out_channels // synapse.groups, per_group, *kernel)
    entries = np.count_nonzero(synapse.weight.reshape(by_group), axis=1)
    vertical, horizontal = (
        _reaches(source[axis + 1], target[axis + 1], synapse, axis) for axis in range(2)
    )
    by_channel = entries.reshape(source[0], *kernel)
    counts = np.einsum("cij,iy,jx->cyx", by_channel, vertical, horizontal)
    return to_rows(counts.astype(np.int64), source)


def _reaches(size: int, outputs: int, synapse: ConvSynapse, axis: int) -> IntArray:
    """Return 1 where a kernel entry reads a position for some output, ``(kernel, size)``."""
    kernel = synapse.weight.shape[2 + axis]
    reaches = np.zeros((kernel, size), np.int64)
    first = np.arange(outputs) * synapse.stride[axis] - synapse.padding[axis]
    for entry in range(kernel):
        positions = first + entry * synapse.dilation[axis]
        reaches[entry, positions[(positions >= 0) & (positions < size)]] = 1
    return reaches
