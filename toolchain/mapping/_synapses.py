"""Synapses of a circuit for the linear layers of a graph, in the chip's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from toolchain.ir.ann import Conv, Dense
from toolchain.ir.mapped import ConvSynapse, DenseSynapse, SparseSynapse, Synapse
from toolchain.ir.node import Shape
from toolchain.ir.snn import OrPool
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]
Pair: TypeAlias = tuple[int, int]

DIGIT_BITS = 7
"""Bits of a digit when an integer is spread over several synapses; digits are -127 to 127."""


@dataclass(frozen=True)
class Copies:
    """How many neurons stand for one unit on either side of a synapse.

    Copies of a unit are next to each other, so channel ``c`` becomes the channels
    ``c * copies`` to ``c * copies + copies - 1``.
    """

    source: int = 1
    target: int = 1


def layer_synapse(
    layer: Dense | Conv, source: str, target: str, shape: Shape, copies: Copies
) -> Synapse:
    """Return the synapse of a layer.

    Args:
        layer: With integer weights.
        source: Name of the population it reads.
        target: Name of the population it drives.
        shape: Of the graph's population behind ``source``, as the neurons are arranged.
        copies: Of the neurons on both sides.
    """
    name = f"{layer.name}/synapse"
    if isinstance(layer, Conv):
        weight = np.repeat(np.repeat(layer.weight, copies.target, 0), copies.source, 1)
        kernel, padding = _symmetric(weight, layer.padding, layer.dilation)
        dilation = layer.dilation if kernel is weight else (1, 1)
        return ConvSynapse(
            name=name,
            source=source,
            target=target,
            weight=kernel,
            stride=layer.stride,
            padding=padding,
            dilation=dilation,
            groups=layer.groups,
        )
    weight = np.repeat(layer.weight, copies.target, 0)
    by_channel = weight.reshape(len(weight), shape[0], -1)
    weight = np.repeat(by_channel, copies.source, 1).reshape(len(weight), -1)
    mantissa, exponent = mantissas(weight)
    return DenseSynapse(
        name=name, source=source, target=target, weight=mantissa, weight_exponent=exponent
    )


def pool_synapse(pool: OrPool, source: str, channels: int, target: Target) -> ConvSynapse:
    """Return the synapse that sums the spikes in each window of an `OrPool`.

    Every channel is a group of its own; where the target has fewer groups than that, several
    channels share one and their kernels are 0 but for their own.
    """
    limit = target.convolution_groups.value
    groups = next(g for g in range(min(channels, limit), 0, -1) if channels % g == 0)
    per_group = channels // groups
    weight = np.zeros((channels, per_group, *pool.kernel), np.int64)
    for channel in range(channels):
        weight[channel, channel % per_group] = 1
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
        threshold: ``(neurons,)``, > 0. One synapse holds all of them if a common power of two
            leaves at most 7 bits; else there is one for each digit.
    """
    exponent = _common_exponent(threshold)
    digits = [(threshold >> exponent, exponent)]
    if int(threshold.max()) >> exponent > 2**DIGIT_BITS - 1:
        digits = [(digit, DIGIT_BITS * place) for place, digit in enumerate(spread(threshold))]
    return tuple(
        SparseSynapse(
            name=f"{population}/reset{place}",
            source=population,
            target=population,
            weight=scipy.sparse.csr_matrix(scipy.sparse.diags(-digit, dtype=np.int64)),
            weight_exponent=shift,
        )
        for place, (digit, shift) in enumerate(digits)
    )


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
    """Return mantissas and exponent for weights of -127 to 127.

    Where both signs occur the chip drops the lowest bit, so weights are doubled and halved.
    """
    is_mixed = bool((weight > 0).any() and (weight < 0).any())
    return (2 * weight, -1) if is_mixed else (weight, 0)


def _common_exponent(values: Ints) -> int:
    combined = int(np.bitwise_or.reduce(values))
    return (combined & -combined).bit_length() - 1


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
