r"""Synapses: input current of a whole batch from the spikes of one time step.

Sums are matrix products of integers held as floats. With ``bound = sum |weight| * max |s|`` no
partial sum, in whatever order, exceeds ``bound``; below ``2**24`` float32 holds all of them
exactly, below ``2**53`` float64 does, and above that numpy multiplies the integers themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
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
from targets.simulator._layout import from_rows, row_order, to_rows
from toolchain.errors import VerifyError
from toolchain.fixedpoint import STATE_LIMIT, shift, wrap_sum
from toolchain.ir.convolution import convolve
from toolchain.ir.mapped import (
    ConvSynapse,
    DenseSynapse,
    IntArray,
    Shape,
    SparseSynapse,
    Synapse,
)

_DENSE_FROM = 1 / 32
"""Density from which a sparse matrix is multiplied as a dense one, which runs at full speed."""


class Carrier(Protocol):
    """Carries spikes through one synapse.

    Attributes:
        fan_out: Synapses with a weight that is not 0, per neuron of the source, ``(neurons,)``.
    """

    fan_out: IntArray

    def start(self, batch: int) -> None:
        """Forget everything under way and expect ``batch`` samples."""

    def carry(self, spikes: Emission | None) -> Current | None:
        """Return what arrives one time step after ``spikes``; to be called once a step.

        Raises:
            RangeError: A sum leaves the 32 bits in which Lava computes it.
        """


@singledispatch
def carrier(synapse: Synapse, source: Shape, target: Shape) -> Carrier:
    """Return the carrier of ``synapse`` between populations of the given shapes.

    Raises:
        VerifyError: The synapse does not fit the shapes, or is of an unknown kind.
    """
    raise VerifyError(
        f"the simulator does not know a {type(synapse).__name__}", node=synapse.name
    )


@carrier.register
def _(synapse: DenseSynapse, source: Shape, target: Shape) -> Carrier:
    weight = synapse.weight[row_order(target)][:, row_order(source)]
    if synapse.delay is None:
        return MatrixCarrier(synapse.name, weight, synapse.weight_exponent)
    if synapse.delay.shape == (len(weight), 1):
        delay = synapse.delay[row_order(target), 0]
        return OutputDelayCarrier(synapse.name, weight, synapse.weight_exponent, delay)
    delay = np.broadcast_to(synapse.delay, weight.shape)[row_order(target)][
        :, row_order(source)
    ]
    return DelayedCarrier(synapse.name, weight, synapse.weight_exponent, delay)


@carrier.register
def _(synapse: SparseSynapse, source: Shape, target: Shape) -> Carrier:
    weight = scipy.sparse.csr_matrix(synapse.weight)[row_order(target)][:, row_order(source)]
    weight.eliminate_zeros()
    if np.all(np.diff(weight.indptr) <= 1):
        return SingleCarrier(synapse.name, weight, synapse.weight_exponent)
    if weight.nnz >= _DENSE_FROM * weight.shape[0] * weight.shape[1]:
        return MatrixCarrier(synapse.name, weight.toarray(), synapse.weight_exponent)
    return SparseCarrier(synapse.name, weight, synapse.weight_exponent)


@carrier.register
def _(synapse: ConvSynapse, source: Shape, target: Shape) -> Carrier:
    return ConvCarrier(synapse, source, target)


class MatrixCarrier:
    """All-to-all connections: ``a = shift(weight @ s, exponent)``."""

    def __init__(self, name: str, weight: IntArray, exponent: int) -> None:
        self.fan_out: IntArray = np.count_nonzero(weight, axis=0).astype(np.int64)
        self._name = name
        self._exponent = exponent
        self._weight = weight.T
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
        return to_current(
            self._name, spikes.values.astype(kind) @ self._held[kind], bound, self._exponent
        )


class SparseCarrier:
    """As `MatrixCarrier`, for a matrix with few entries."""

    def __init__(self, name: str, weight: scipy.sparse.csr_matrix, exponent: int) -> None:
        self.fan_out: IntArray = np.diff(weight.tocsc().indptr).astype(np.int64)
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
        return to_current(self._name, (self._held[kind] @ columns).T, bound, self._exponent)


class SingleCarrier:
    """A matrix with at most one entry per row: self-inhibition, relays, gates."""

    def __init__(self, name: str, weight: scipy.sparse.csr_matrix, exponent: int) -> None:
        self.fan_out: IntArray = np.diff(weight.tocsc().indptr).astype(np.int64)
        self._name = name
        self._exponent = exponent
        self._source = np.zeros(weight.shape[0], np.intp)
        self._weight = np.zeros(weight.shape[0], np.int64)
        rows = np.diff(weight.indptr) == 1
        self._source[rows] = weight.indices
        self._weight[rows] = weight.data
        self._peak = magnitude(self._weight)
        self._is_diagonal = len(self._source) == weight.shape[1] and np.array_equal(
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
        kind = np.int32 if bound < INT32_LIMIT else np.int64
        product = values * self._weight.astype(kind)
        return to_current(self._name, product, bound, self._exponent)


class DelayedCarrier:
    """All-to-all connections that have delays of their own, ``(out, in)``.

    As in Lava, the sum of each delay is shifted by the weight exponent before it meets the
    others.
    """

    def __init__(
        self, name: str, weight: IntArray, exponent: int, delay: npt.NDArray[np.int64]
    ) -> None:
        self.fan_out: IntArray = np.count_nonzero(weight, axis=0).astype(np.int64)
        self._name = name
        self._lines = [
            (int(steps), columns, MatrixCarrier(name, due[:, columns], exponent))
            for steps in np.unique(delay)
            for due in [np.where(delay == steps, weight, 0)]
            for columns in [np.flatnonzero(np.any(delay == steps, axis=0))]
        ]
        self._under_way: list[list[Current]] = []
        self._length = int(delay.max(initial=0)) + 1

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self._under_way = [[] for _ in range(self._length)]

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is not None:
            for steps, columns, line in self._lines:
                values = spikes.values[:, columns]
                if values.any() and (current := line.carry(Emission(values, spikes.peak))):
                    self._under_way[steps].append(current)
        self._under_way.append([])
        return add_currents(self._name, self._under_way.pop(0))


class OutputDelayCarrier:
    """All-to-all connections whose delay depends on the output neuron alone, ``(out,)``."""

    def __init__(
        self, name: str, weight: IntArray, exponent: int, delay: npt.NDArray[np.int64]
    ) -> None:
        self._matrix = MatrixCarrier(name, weight, exponent)
        self.fan_out = self._matrix.fan_out
        self._delay = delay
        self._outputs = np.arange(len(delay))
        self._under_way = np.zeros((int(delay.max(initial=0)) + 1, len(delay), 1), np.int64)
        self._now = 0

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self._under_way = np.zeros((*self._under_way.shape[:2], batch), np.int64)
        self._now = 0

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if (current := self._matrix.carry(spikes)) is not None:
            due = (self._now + self._delay) % len(self._under_way)
            self._under_way[due, self._outputs] += current.values.T
        arriving = self._under_way[self._now]
        values = arriving.T.astype(np.int32)
        arriving[:] = 0
        self._now = (self._now + 1) % len(self._under_way)
        bound = magnitude(values)
        return Current(values, bound) if bound else None


class ConvCarrier:
    """Shared connections: a 2-D cross-correlation, wrapped to 24 bits.

    Attributes:
        fan_out: See `Carrier`; padding and strides are honoured.
        wraps: Per sample, how many sums were wrapped, ``(batch,)``.
    """

    def __init__(self, synapse: ConvSynapse, source: Shape, target: Shape) -> None:
        self.fan_out = _convolution_fan_out(synapse, source, target)
        self.wraps: IntArray = np.zeros(1, np.int64)
        self._synapse = synapse
        self._source = source
        self._target = target
        self._held: dict[type, npt.NDArray[Any]] = {}
        self._row_sum = int(np.abs(synapse.weight).sum(axis=(1, 2, 3)).max())

    def start(self, batch: int) -> None:
        """See `Carrier.start`."""
        self.wraps = np.zeros(batch, np.int64)

    def carry(self, spikes: Emission | None) -> Current | None:
        """See `Carrier.carry`."""
        if spikes is None:
            return None
        synapse = self._synapse
        bound = self._row_sum * spikes.peak
        kind = exact_type(bound)
        if kind not in self._held:
            self._held[kind] = synapse.weight.astype(kind)
        vertical, horizontal = synapse.padding
        sums = convolve(
            from_rows(spikes.values.astype(kind), self._source),
            self._held[kind],
            synapse.stride,
            ((vertical, vertical), (horizontal, horizontal)),
            synapse.dilation,
            synapse.groups,
        )
        current = to_current(synapse.name, to_rows(sums, self._target), bound, 0)
        return current if current.bound < STATE_LIMIT else self._wrapped(current)

    def _wrapped(self, current: Current) -> Current:
        values = wrap_sum(current.values.astype(np.int64)).astype(np.int32)
        self.wraps += np.count_nonzero(values != current.values, axis=1)
        return Current(values, min(current.bound, STATE_LIMIT))


def exact_type(bound: int) -> type[np.float32] | type[np.float64] | type[np.int64]:
    """Return the fastest type that holds every integer up to ``bound`` exactly."""
    if bound < 1 << 24:
        return np.float32
    return np.float64 if bound < 1 << 53 else np.int64


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


def add_currents(name: str, currents: Sequence[Current]) -> Current | None:
    """Return the sum of what reaches the population ``name``; `None` if nothing does.

    Raises:
        RangeError: The sum leaves the 32 bits in which Lava computes it.
    """
    if len(currents) <= 1:
        return currents[0] if currents else None
    bound = sum(current.bound for current in currents)
    if bound >= INT32_LIMIT:
        bound = sum(magnitude(current.values) for current in currents)
        require_int32(name, "the sum of input currents", bound)
    values = currents[0].values
    for current in currents[1:]:
        values = values + current.values
    return Current(values, bound)


def _convolution_fan_out(synapse: ConvSynapse, source: Shape, target: Shape) -> IntArray:
    """Count, for every neuron of the source, the kernel entries that reach an output."""
    out_channels, per_group, kernel_height, kernel_width = synapse.weight.shape
    by_group = (synapse.groups, out_channels // synapse.groups, per_group)
    entries = np.count_nonzero(
        synapse.weight.reshape(*by_group, kernel_height, kernel_width), axis=1
    ).reshape(source[0], kernel_height, kernel_width)
    reaches = [_reaches(source[axis + 1], target[axis + 1], synapse, axis) for axis in range(2)]
    fan_out = np.einsum("cij,iy,jx->cyx", entries, *reaches)
    return to_rows(fan_out.astype(np.int64), source)


def _reaches(size: int, outputs: int, synapse: ConvSynapse, axis: int) -> IntArray:
    """Return 1 where a kernel entry reads a position for some output, ``(kernel, size)``."""
    kernel = synapse.weight.shape[2 + axis]
    reaches = np.zeros((kernel, size), np.int64)
    first = np.arange(outputs) * synapse.stride[axis] - synapse.padding[axis]
    for entry in range(kernel):
        positions = first + entry * synapse.dilation[axis]
        reaches[entry, positions[(positions >= 0) & (positions < size)]] = 1
    return reaches
