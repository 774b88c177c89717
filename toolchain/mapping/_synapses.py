"""Synapses of a circuit for the linear layers of a graph, in the chip's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.fixedpoint import DIGIT_BITS
from toolchain.ir.ann import Conv, Dense, MaxPool, Rearrange
from toolchain.ir.mapped import ConvSynapse, DenseSynapse, SparseSynapse, Synapse
from toolchain.ir.narrow import narrowed
from toolchain.ir.node import IndexArray, Shape
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Copies:
    """How many neurons stand for one unit on either side of a synapse.

    Copies of a unit are next to each other, so channel ``c`` becomes the channels
    ``c * copies`` to ``c * copies + copies - 1``.
    """

    source: int = 1
    target: int = 1


def layer_synapses(
    layer: Dense | Conv,
    source: str,
    target: str,
    shape: Shape,
    copies: Copies,
    limits: Target,
) -> tuple[Synapse, ...]:
    """Return the synapses of a layer: one, or one for each digit of the weights of a skip.

    Args:
        layer: With integer weights.
        source: Name of the population it reads.
        target: Name of the population it drives.
        shape: Of the graph's population behind ``source``, as the neurons are arranged.
        copies: Of the neurons on both sides.
        limits: The chip.
    """
    name = f"{layer.name}/synapse"
    if isinstance(layer, Conv) and layer.is_skip:
        return in_digits(name, source, target, _skip_matrix(layer, shape, copies))
    if isinstance(layer, Conv):
        weight = _repeated(_repeated(layer.weight, copies.target, 0), copies.source, 1)
        weight, groups = _in_fewer_groups(weight, layer.groups, limits)
        kernel, padding = _symmetric(weight, layer.padding, layer.dilation)
        dilation = layer.dilation if kernel is weight else (1, 1)
        return (
            ConvSynapse(
                name=name,
                source=source,
                target=target,
                weight=kernel,
                stride=layer.stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            ),
        )
    weight = _repeated(layer.weight, copies.target, 0)
    by_channel = weight.reshape(len(weight), shape[0], -1)
    weight = _repeated(by_channel, copies.source, 1).reshape(len(weight), -1)
    mantissa, exponent = mantissas(weight)
    return (
        DenseSynapse(
            name=name,
            source=source,
            target=target,
            weight=narrowed(mantissa),
            weight_exponent=exponent,
        ),
    )


def _repeated(weight: Ints, count: int, axis: int) -> Ints:
    """Return weights with every entry of an axis ``count`` times; the same ones for 1."""
    return weight if count == 1 else np.repeat(weight, count, axis)


def _skip_matrix(layer: Conv, shape: Shape, copies: Copies) -> Any:
    """Return the weights ``(to, from)`` of a layer that reads at its own positions only."""
    outputs, reads = layer.weight.shape[:2]
    rows = np.repeat(np.arange(outputs), reads)
    group = np.arange(outputs) // (outputs // layer.groups)
    columns = (reads * group[:, None] + np.arange(reads)).ravel()
    channels = scipy.sparse.csr_matrix(
        (layer.weight.ravel(), (rows, columns)), (outputs, layer.groups * reads)
    )
    every = scipy.sparse.csr_matrix(np.ones((copies.target, copies.source), np.int64))
    positions = scipy.sparse.identity(int(np.prod(shape[1:])), dtype=np.int64)
    return scipy.sparse.kron(scipy.sparse.kron(channels, every), positions)


def relay_synapse(
    node: Rearrange, source: str, shape: Shape, order: IndexArray, copies: int
) -> SparseSynapse:
    """Return the synapse by which each neuron of a rearrangement reads the one it repeats.

    Args:
        node: The rearrangement.
        source: Name of the population it reads.
        shape: Of the graph's population behind ``source``.
        order: Flat index into it for each element, -1 for a neuron that never spikes.
        copies: Of each neuron on both sides, next to each other on the channel axis.
    """
    before = _numbered_copies(np.arange(int(np.prod(shape))).reshape(shape), copies)
    chosen = _numbered_copies(order.reshape(node.shape), copies)
    place = np.zeros((copies, int(np.prod(shape))), np.int64)
    for copy in range(copies):
        place[copy, before[copy].values] = before[copy].neurons
    rows, columns = [], []
    for copy in range(copies):
        is_read = chosen[copy].values >= 0
        rows.append(chosen[copy].neurons[is_read])
        columns.append(place[copy, chosen[copy].values[is_read]])
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(row), np.int64)
    sizes = (order.size * copies, int(np.prod(shape)) * copies)
    return SparseSynapse(
        name=f"{node.name}/synapse",
        source=source,
        target=node.name,
        weight=scipy.sparse.csr_matrix((ones, (row, column)), sizes),
    )


@dataclass(frozen=True)
class _Numbered:
    """Neurons of one copy, and the value that each stands for."""

    neurons: Ints
    values: Ints


def _numbered_copies(values: Ints, copies: int) -> list[_Numbered]:
    """Return for every copy its neurons' numbers in the population and their values."""
    shape = (values.shape[0], copies, *values.shape[1:])
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    return [_Numbered(numbers[:, copy].ravel(), values.ravel()) for copy in range(copies)]


def pool_synapse(
    pool: MaxPool, source: str, channels: int, target: Target, weight: Ints
) -> ConvSynapse:
    """Return the synapse that sums the spikes in each window of a pool.

    Args:
        pool: Its name is that of the population it drives.
        source: Name of the population it reads.
        channels: Of both.
        target: The chip.
        weight: Of each place in the window, 0 to 127, the shape of the kernel.
    """
    kernels = np.broadcast_to(weight, (channels, 1, *pool.kernel))
    weight, groups = _in_fewer_groups(kernels, channels, target)
    kernel, padding = _symmetric(weight, pool.padding, (1, 1))
    return ConvSynapse(
        name=f"{pool.name}/synapse",
        source=source,
        target=pool.name,
        weight=kernel,
        stride=pool.stride,
        padding=padding,
        groups=groups,
    )


def self_inhibition(population: str, threshold: Ints) -> tuple[SparseSynapse, ...]:
    """Return the synapses that subtract the threshold of each neuron that spiked.

    Args:
        population: Name of the population.
        threshold: ``(neurons,)``, > 0.
    """
    return _inhibition(population, "reset", scipy.sparse.diags(threshold, dtype=np.int64))


def lateral_inhibition(
    population: str, lateral: Ints, shape: Shape, copies: int = 1
) -> tuple[SparseSynapse, ...]:
    """Return the synapses by which earlier windows of a neuron inhibit later ones.

    Args:
        population: Name of the population.
        lateral: ``(later, earlier, channels of a window)``, >= 0.
        shape: Of the graph's population, its windows one after the other.
        copies: Neurons that stand for a unit; the spikes of all inhibit all.
    """
    windows = len(lateral)
    positions = int(np.prod(shape)) // (windows * lateral.shape[2])
    unit = scipy.sparse.kron(
        np.ones((copies, copies), np.int64), scipy.sparse.identity(positions, dtype=np.int64)
    )
    blocks = [
        [
            scipy.sparse.kron(scipy.sparse.diags(lateral[later, earlier], dtype=np.int64), unit)
            for earlier in range(windows)
        ]
        for later in range(windows)
    ]
    return _inhibition(population, "lateral", scipy.sparse.bmat(blocks))


def _inhibition(population: str, purpose: str, amount: Any) -> tuple[SparseSynapse, ...]:
    """Return synapses that subtract ``amount`` ``(to, from)`` >= 0 for each spike."""
    return in_digits(f"{population}/{purpose}", population, population, -amount)


def in_digits(name: str, source: str, target: str, amount: Any) -> tuple[SparseSynapse, ...]:
    """Return synapses with the weights ``amount`` ``(to, from)``, however large.

    One synapse holds all of it if a common power of two leaves at most 7 bits; else there is
    one for each digit.
    """
    matrix: Any = scipy.sparse.csr_matrix(amount).astype(np.int64)
    matrix.eliminate_zeros()
    if matrix.nnz == 0:
        return ()
    exponent = max(int(np.abs(matrix.data).max()).bit_length() - DIGIT_BITS, 0)
    digits = [(matrix.data >> exponent, exponent)]
    if np.any(matrix.data % (1 << exponent)):
        spread_out = spread(matrix.data)
        digits = [(digit, DIGIT_BITS * place) for place, digit in enumerate(spread_out)]
    synapses = []
    for place, (digit, shift) in enumerate(digits):
        if not digit.any():
            continue
        mantissa, halved = mantissas(digit)
        weight = matrix.copy()
        weight.data = mantissa
        weight.eliminate_zeros()
        synapses.append(
            SparseSynapse(
                name=f"{name}{place}",
                source=source,
                target=target,
                weight=weight,
                weight_exponent=shift + halved,
            )
        )
    return tuple(synapses)


def spread(values: Ints) -> list[Ints]:
    """Return digits of ``values`` to the base 128, the lowest first, each -127 to 127.

    ``sum(digit << (7 * place) for place, digit in enumerate(...))`` is ``values``.
    """
    magnitude, sign = np.abs(values), np.sign(values)
    digits: list[Ints] = []
    while not digits or magnitude.any():
        digits.append(sign * (magnitude & (2**DIGIT_BITS - 1)))
        magnitude = magnitude >> DIGIT_BITS
    return digits


def mantissas(weight: Ints) -> tuple[Ints, int]:
    """Return mantissas and exponent for weights of -127 to 127, which may be bytes.

    Where both signs occur the chip drops the lowest bit, so weights are doubled and halved.
    """
    is_mixed = bool((weight > 0).any() and (weight < 0).any())
    return (2 * weight.astype(np.int64), -1) if is_mixed else (weight, 0)


def _in_fewer_groups(weight: Ints, groups: int, limits: Target) -> tuple[Ints, int]:
    """Return kernel and number of groups that do the same with as many groups as there can be.

    Groups that become one have zeros for one another's channels.
    """
    limit = min(groups, limits.convolution_groups.value)
    fewer = next(number for number in range(limit, 0, -1) if groups % number == 0)
    if fewer == groups:
        return weight, groups
    outputs, inputs = len(weight) // groups, weight.shape[1]
    wide = np.zeros((len(weight), groups // fewer * inputs, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        start = group % (groups // fewer) * inputs
        wide[rows, start : start + inputs] = weight[rows]
    return wide, fewer


def _symmetric(weight: Ints, padding: tuple[Pair, Pair], dilation: Pair) -> tuple[Ints, Pair]:
    """Return kernel and padding that do the same with equal padding on both sides.

    The side with less padding gets as many more, and the kernel zeros to go with it. A dilated
    kernel is written out first.
    """
    if all(low == high for low, high in padding):
        return weight, (padding[0][0], padding[1][0])
    weight = _written_out(weight, dilation)
    extra = [(max(high - low, 0), max(low - high, 0)) for low, high in padding]
    return np.pad(weight, ((0, 0), (0, 0), *extra)), (max(padding[0]), max(padding[1]))


def _written_out(weight: Ints, dilation: Pair) -> Ints:
    rows, columns = (d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
    out = np.zeros((*weight.shape[:2], rows, columns), weight.dtype)
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out
