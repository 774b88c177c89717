"""Neighbours that are computed together have the sums that they have apart."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.joining import join
from targets.twin.neighbours import with_neighbours
from targets.twin.signals import Signal
from toolchain.ir.ann import Conv
from toolchain.ir.convolution import convolve

NUMBERS = np.random.default_rng(0)


def joined(shape, size, **geometry):
    layer = Conv(name="c", weight=NUMBERS.integers(-127, 128, shape), **geometry)
    return join([layer], [Signal("x", (shape[1] * layer.groups, *size), 0, 15)])


def sums_of(layer, x):
    (block,) = layer.blocks
    return convolve(x, block.weight, layer.stride, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((6, 1, 5, 5), {}),
        ((8, 3, 3, 3), {"padding": ((1, 1), (1, 1))}),
        ((8, 3, 3, 3), {"padding": ((0, 1), (2, 0)), "stride": (2, 2)}),
        ((8, 1, 3, 4), {"stride": (1, 3)}),
        ((8, 1, 3, 3), {"dilation": (2, 1)}),
    ],
)
def test_channels_of_neighbours_are_what_neighbours_have(shape, geometry):
    plain = joined(shape, (13, 16), **geometry)
    x = NUMBERS.integers(0, 16, (2, shape[1], 13, 16))
    wanted = sums_of(plain, x)

    together = with_neighbours(plain, wanted.shape[3])

    assert together.together > 1
    found = sums_of(together, x)
    apart = found.reshape(2, together.together, shape[0], *found.shape[2:])
    np.testing.assert_array_equal(apart.transpose(0, 2, 3, 4, 1).reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("shape", "geometry", "columns"),
    [
        ((6, 1, 5, 5), {}, 11),
        ((64, 64, 3, 3), {"padding": ((1, 1), (1, 1))}, 16),
        ((6, 1, 5, 5), {"dilation": (1, 2)}, 8),
        ((6, 1, 5, 5), {"groups": 6}, 12),
    ],
    ids=["a row of a prime length", "many channels", "spaced taps", "groups"],
)
def test_others_are_left_alone(shape, geometry, columns):
    plain = joined(shape, (16, 16), **geometry)

    assert with_neighbours(plain, columns) is plain
