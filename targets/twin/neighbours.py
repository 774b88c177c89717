"""Convolutions of few channels that compute neighbouring neurons together.

Kernels of runtimes collect the bytes that each neuron reads, a row of taps at a time, and
multiply them by the weights of all output channels. With few input channels a row is a few
bytes, and collecting takes longer than multiplying. A wider kernel, with a stride to match,
collects what several neighbours of a row read and has output channels for each of them, whose
weights are those of the kernel, each at its place between zeros::

    w[n * C + c, :, :, n * stride + i] = w[c, :, :, i]      neighbour n, channel c

With channels last, where runtimes have them, neighbours are in their places without being
moved.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from targets.twin.joining import Joined

_COST_OF_ROW = 1500
"""Multiplications that take as long as collecting a row of taps, as measured."""

_VECTOR, _VECTOR_MIN = 16, 24
"""Output channels that are multiplied at once; a kernel fills up the last of them. A single
vector takes as long as one and a half."""

_TOGETHER_MAX = 8


def with_neighbours(joined: Joined, columns: int) -> Joined:
    """Return a layer with as many neighbours together as is cheapest.

    Args:
        joined: All layers of a population.
        columns: Neurons of a row.
    """
    (block, *others), stride = joined.blocks, joined.stride[1]
    if others or block.weight.ndim == 2 or joined.groups > 1 or joined.dilation[1] > 1:
        return joined
    outputs, channels, rows, taps = block.weight.shape
    if rows == taps == 1:  # reads its input where it is
        return joined

    def cost(together: int) -> float:
        wide = taps + (together - 1) * stride
        filled = max(_VECTOR_MIN, -(-outputs * together // _VECTOR) * _VECTOR)
        return rows * (_COST_OF_ROW + channels * wide * filled) / together

    fitting = [number for number in range(1, _TOGETHER_MAX + 1) if columns % number == 0]
    together = min(fitting, key=cost)
    if together == 1:
        return joined
    wide = taps + (together - 1) * stride
    weight = np.zeros((together, outputs, channels, rows, wide), block.weight.dtype)
    for neighbour in range(together):
        first = neighbour * stride
        weight[neighbour, ..., first : first + taps] = block.weight
    whole = replace(block, weight=weight.reshape(-1, channels, rows, wide))
    return replace(
        joined,
        blocks=(whole,),
        stride=(joined.stride[0], stride * together),
        together=together,
    )
