"""From the synapses of a circuit to what carries spikes through them, as fast as possible.

Matrices between the same two populations are added up, by what is exact: a weight exponent
below 0 is taken into weights that are all multiples of that power of two, and of those that
are left each stays by itself, because it rounds its own sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from targets.simulator._carriers import (
    Carrier,
    ConvCarrier,
    MatrixCarrier,
    SingleCarrier,
    SparseCarrier,
)
from targets.simulator._delays import DelayedCarrier, OutputDelayCarrier
from targets.simulator._layout import row_order
from toolchain.errors import VerifyError
from toolchain.fixedpoint import shift
from toolchain.ir.mapped import (
    ConvSynapse,
    DenseSynapse,
    Shape,
    SparseSynapse,
    Synapse,
)

_DENSE_FROM = 1 / 32
"""Density from which a sparse matrix is multiplied as a dense one, which runs at full speed."""


class _Matrix(NamedTuple):
    """A matrix in rows, dense or CSR, and its exponent."""

    name: str
    weight: Any
    exponent: int


def carriers(synapses: Sequence[Synapse], source: Shape, target: Shape) -> list[Carrier]:
    """Return the carriers of all ``synapses`` between two populations of the given shapes.

    Raises:
        VerifyError: A synapse is of an unknown kind.
    """
    matrices: list[_Matrix] = []
    found: list[Carrier] = []
    for synapse in synapses:
        if isinstance(synapse, ConvSynapse):
            found.append(ConvCarrier(synapse, source, target))
        elif isinstance(synapse, DenseSynapse) and synapse.delay is not None:
            found.append(_delayed(synapse, source, target))
        elif isinstance(synapse, (DenseSynapse, SparseSynapse)):
            matrices.append(_matrix(synapse, source, target))
        else:
            raise VerifyError(
                f"the simulator does not know a {type(synapse).__name__}", node=synapse.name
            )
    rounding = [matrix for matrix in matrices if matrix.exponent < 0]
    exact = [matrix for matrix in matrices if matrix.exponent >= 0]
    return [*found, *map(_carrier, [*rounding, *([_total(exact)] if exact else [])])]


def _matrix(synapse: DenseSynapse | SparseSynapse, source: Shape, target: Shape) -> _Matrix:
    exponent = synapse.weight_exponent
    weight: Any = synapse.weight[row_order(target)][:, row_order(source)]
    entries = weight if isinstance(weight, np.ndarray) else weight.data
    if exponent < 0 and not np.any(entries % (1 << -exponent)):
        weight, exponent = _scaled(weight, exponent), 0
    return _Matrix(synapse.name, weight, exponent)


def _total(matrices: Sequence[_Matrix]) -> _Matrix:
    """Return the sum of matrices with exponents of at least 0."""
    first, *others = matrices
    if not others:
        return first
    exponent = min(matrix.exponent for matrix in matrices)
    terms = [_scaled(matrix.weight, matrix.exponent - exponent) for matrix in matrices]
    if any(isinstance(term, np.ndarray) for term in terms):
        terms = [term if isinstance(term, np.ndarray) else term.toarray() for term in terms]
    name = " + ".join(matrix.name for matrix in matrices)
    return _Matrix(name, sum(terms[1:], start=terms[0]), exponent)


def _scaled(weight: Any, exponent: int) -> Any:
    """Return a dense or sparse matrix shifted by ``exponent``."""
    if isinstance(weight, np.ndarray):
        return shift(weight.astype(np.int64), exponent)
    scaled = weight.astype(np.int64)
    scaled.data = shift(scaled.data, exponent)
    return scaled


def _carrier(matrix: _Matrix) -> Carrier:
    name, weight, exponent = matrix
    if isinstance(weight, np.ndarray):
        return MatrixCarrier(name, weight, exponent)
    weight.eliminate_zeros()
    if np.all(np.diff(weight.indptr) <= 1):
        return SingleCarrier(name, weight, exponent)
    if weight.nnz >= _DENSE_FROM * weight.shape[0] * weight.shape[1]:
        return MatrixCarrier(name, weight.toarray(), exponent)
    return SparseCarrier(name, weight, exponent)


def _delayed(synapse: DenseSynapse, source: Shape, target: Shape) -> Carrier:
    rows, columns = row_order(target), row_order(source)
    name, exponent, delay = synapse.name, synapse.weight_exponent, synapse.delay
    weight = synapse.weight[rows][:, columns]
    if delay is not None and delay.shape == (len(weight), 1):
        return OutputDelayCarrier(name, weight, exponent, delay[rows, 0])
    steps = np.broadcast_to(np.asarray(delay), weight.shape)[rows][:, columns]
    return DelayedCarrier(name, weight, exponent, steps)
