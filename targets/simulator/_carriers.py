r"""Input currents of a whole batch from the spikes of one time step.

Sums are matrix products of integers held as floats. With ``bound = sum |weight| * max |s|`` no
partial sum, in whatever order, exceeds ``bound``; below ``2**24`` float32 holds all of them
exactly, below ``2**53`` float64 does, and above that numpy multiplies the integers themselves.

Where several neurons stand for one unit, next to each other in a row, they have the same
weights on both sides. Their spikes are added up before the product, and it is repeated for
their like behind it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse

from targets.simulator._emission import (
    INT32_LIMIT,
    Current,
    Emission,
    magnitude,
    require_int32,
)
from targets.simulator._layout import from_rows, to_rows
from toolchain.fixedpoint import STATE_LIMIT, shift, wrap_sum
from toolchain.ir.convolution import convolve
from toolchain.ir.mapped import ConvSynapse, IntArray, Shape

_COPIES_MAX = 255


class Carrier(Protocol):
    """Carries spikes through one or several synapses between two populations."""

    def start(self, batch: int) -> None:
        """Forget everything under way and expect ``batch`` samples."""

    def carry(self, spikes: Emission | None) -> Current | None:
        """Return what arrives one time step after ``spikes``; to be called once a step.

        Raises:
            RangeError: A sum leaves the 32 bits in which Lava computes it.
        """


class MatrixCarrier:
    """All-to-all connections: ``a = shift(weight @ s, exponent)``, in rows."""

    def __init__(self, name: str, weight: IntArray, exponent: int) -> None:
        self._name = name
        self._exponent = exponent
        self._sources, self._targets = copies(weight.T), copies(weight)
        self._weight = weight.T[:: self._sources, :: self._targets]
        self._held: dict[type, npt.NDArray[Any]] = {}
        self._row_sum = int(np.abs(weight).sum(axis=1).max(initial=0))

    def start(self, batch: int) -> None:
        """Nothing is under way from one step to the next."""

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is None:
            return None
        bound = self._row_sum * spikes.peak
        kind = exact_type(bound)
        if kind not in self._held:
            self._held[kind] = np.ascontiguousarray(self._weight, kind)
        sums = (
            add_copies(_roomy(spikes.values, bound), self._sources).astype(kind)
            @ self._held[kind]
        )
        return repeated(to_current(self._name, sums, bound, self._exponent), self._targets)


class SparseCarrier:
    """As `MatrixCarrier`, for a matrix with few entries."""

    def __init__(self, name: str, weight: scipy.sparse.csr_matrix, exponent: int) -> None:
        self._name = name
        self._exponent = exponent
        self._weight = weight
        self._held: dict[type, scipy.sparse.csr_matrix] = {}
        self._row_sum = int(abs(weight).sum(axis=1).max())

    def start(self, batch: int) -> None:
        """Nothing is under way from one step to the next."""

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is None:
            return None
        bound = self._row_sum * spikes.peak
        kind = exact_type(bound)
        if kind not in self._held:
            self._held[kind] = self._weight.astype(kind)
        columns: npt.NDArray[Any] = np.ascontiguousarray(spikes.values.T, kind)
        sums = np.ascontiguousarray((self._held[kind] @ columns).T)
        return to_current(self._name, sums, bound, self._exponent)


class SingleCarrier:
    """A matrix with at most one entry per row: self-inhibition, relays, gates."""

    def __init__(self, name: str, weight: scipy.sparse.csr_matrix, exponent: int) -> None:
        self._name = name
        self._exponent = exponent
        self._source = np.zeros(weight.shape[0], np.intp)
        self._weight = np.zeros(weight.shape[0], np.int64)
        rows = np.diff(weight.indptr) == 1
        self._source[rows] = weight.indices
        self._weight[rows] = weight.data
        self._peak = magnitude(self._weight)
        self._is_diagonal = weight.shape[0] == weight.shape[1] and np.array_equal(
            self._source[rows], np.flatnonzero(rows)
        )

    def start(self, batch: int) -> None:
        """Nothing is under way from one step to the next."""

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is None:
            return None
        values: npt.NDArray[Any] = spikes.values
        if not self._is_diagonal:
            values = np.take(values, self._source, axis=1)
        bound = self._peak * spikes.peak
        product = values * self._weight.astype(np.int32 if bound < INT32_LIMIT else np.int64)
        return to_current(self._name, product, bound, self._exponent)


class ConvCarrier:
    """Shared connections: a 2-D cross-correlation, wrapped to 24 bits.

    Attributes:
        name: Of the synapse.
        wraps: Per sample, how many sums were wrapped, ``(batch,)``.
    """

    def __init__(self, synapse: ConvSynapse, source: Shape, target: Shape) -> None:
        self.name = synapse.name
        self.wraps: IntArray = np.zeros(1, np.int64)
        self._synapse = synapse
        self._target = target
        weight, self._groups = finest_groups(synapse.weight, synapse.groups)
        self._row_sum = int(np.abs(weight).sum(axis=(1, 2, 3)).max(initial=0))
        self._is_depthwise = weight.shape[:2] == (self._groups, 1)
        self._sources = copies(weight.swapaxes(0, 1)) if self._groups == 1 else 1
        self._targets = copies(weight) if self._groups == 1 else 1
        self._weight = weight[:: self._targets, :: self._sources]
        self._source = (source[0] // self._sources, *source[1:])

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self.wraps = np.zeros(batch, np.int64)

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is None:
            return None
        bound = self._row_sum * spikes.peak
        kind = narrow_type(bound) if self._is_depthwise else exact_type(bound)
        vertical, horizontal = self._synapse.padding
        sums = convolve(
            from_rows(add_copies(_roomy(spikes.values, bound), self._sources), self._source),
            self._weight,
            self._synapse.stride,
            ((vertical, vertical), (horizontal, horizontal)),
            self._synapse.dilation,
            self._groups,
            kind,
        )
        rows = to_rows(sums, (sums.shape[1], *self._target[1:]))
        current = to_current(self.name, rows, bound, 0)
        return repeated(self._wrapped(current), self._targets)

    def _wrapped(self, current: Current) -> Current:
        if current.bound < STATE_LIMIT:
            return current
        values = wrap_sum(current.values.astype(np.int64)).astype(np.int32)
        self.wraps += self._targets * np.count_nonzero(values != current.values, axis=1)
        return Current(values, min(current.bound, STATE_LIMIT))


def exact_type(bound: int) -> type[np.float32] | type[np.float64] | type[np.int64]:
    """Return the fastest type for products that holds every integer up to ``bound``."""
    if bound < 1 << 24:
        return np.float32
    return np.float64 if bound < 1 << 53 else np.int64


def narrow_type(bound: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest type of integers that holds those up to ``bound``."""
    kinds = (np.int8, np.int16, np.int32)
    return next((kind for kind in kinds if bound <= np.iinfo(kind).max), np.int64)


def copies(weight: npt.NDArray[np.int64]) -> int:
    """Return how many successive entries of axis 0 are equal throughout, at least 1."""
    rows = weight.reshape(len(weight), -1)
    is_new = np.any(rows[1:] != rows[:-1], axis=1)
    first = int(np.argmax(is_new)) + 1 if is_new.any() else len(rows)
    for count in range(min(first, _COPIES_MAX), 1, -1):
        if len(rows) % count == 0 and not np.delete(is_new, np.s_[count - 1 :: count]).any():
            return count
    return 1


def _roomy(values: npt.NDArray[Any], bound: int) -> npt.NDArray[Any]:
    """Return ``values`` in 64 bits if integers up to ``bound`` need them."""
    return values if bound < INT32_LIMIT else values.astype(np.int64)


def add_copies(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Return the sums of ``count`` successive neurons, ``(batch, neurons / count)``.

    Booleans are counted, up to 255; integers are of a type that has room for the sums.
    """
    if count == 1:
        return values
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    by_copy = values.reshape(len(values), -1, count)
    return sum((by_copy[..., copy] for copy in range(1, count)), start=by_copy[..., 0])


def repeated(current: Current, count: int) -> Current:
    """Return the current with every neuron repeated ``count`` times."""
    if count == 1:
        return current
    return Current(np.repeat(current.values, count, axis=1), current.bound)


def finest_groups(weight: IntArray, groups: int) -> tuple[IntArray, int]:
    """Return kernels of one channel each, and as many groups, if no others meet a weight."""
    channels, per_group = weight.shape[:2]
    if per_group == 1 or channels != per_group * groups:
        return weight, groups
    own = np.arange(channels) % per_group
    alone = weight[np.arange(channels), own][:, None]
    if np.count_nonzero(alone) < np.count_nonzero(weight):
        return weight, groups
    return alone, channels


def to_current(name: str, sums: npt.NDArray[Any], bound: int, exponent: int) -> Current:
    """Return ``shift(sums, exponent)`` in 32 bits.

    Args:
        name: Of the synapse, for the message.
        sums: Integers of any type ``(batch, neurons)``.
        bound: No ``|sum|`` is larger.
        exponent: Power of two.

    Raises:
        RangeError: A sum leaves the 32 bits in which Lava computes it.
    """
    factor = 1 << max(exponent, 0)
    if bound * factor >= INT32_LIMIT:
        bound = magnitude(sums)
        require_int32(name, "a sum of weights times spikes", bound * factor)
    values = sums.astype(np.int32, copy=False)
    if exponent >= 0:
        return Current(values << exponent if exponent else values, bound * factor)
    return Current(shift(values, exponent), -(-bound >> -exponent))
