"""A convolution of collected inputs has the sums of the convolution."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.columns import columns_of
from targets.twin.signals import Signal
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.convolution import convolve

NUMBERS = np.random.default_rng(0)
PADDED = {"padding": ((1, 1), (2, 0))}


def conv(shape, **geometry):
    return Conv(name="c", weight=NUMBERS.integers(-127, 128, shape), **geometry)


def collected(joined, x):
    """Return what the layer that collects gives, neighbours side by side."""
    (block,) = joined.blocks
    y = convolve(x, block.weight, joined.stride, joined.padding, joined.dilation, 1)
    samples, _, height, width = y.shape
    apart = y.reshape(samples, joined.together, -1, height, width)
    return np.moveaxis(apart, 1, -1).reshape(samples, -1, height, width * joined.together)


@pytest.mark.parametrize(
    "layer",
    [
        conv((24, 3, 3, 3), **PADDED),
        conv((24, 1, 3, 2), stride=(2, 1), dilation=(1, 2), **PADDED),
    ],
    ids=["fills up", "strides and spacings"],
)
def test_sums_are_those_of_the_convolution(layer):
    x = NUMBERS.integers(-9, 10, (2, layer.weight.shape[1], 6, 8))

    columns = columns_of([layer], [Signal("x", x.shape[1:], -9, 9)], windows=3)

    read = collected(columns.form.joined, x)
    sums = convolve(read, columns.layer.weight, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    wanted = convolve(x, layer.weight, layer.stride, layer.padding, layer.dilation, 1)
    np.testing.assert_array_equal(sums, wanted)
    assert columns.signal.shape[0] % 4 == 0
    assert columns.signal.shape[1:] == layer.output_shape(x.shape[1:])[1:]
    assert columns.signal.zero_point == 9


@pytest.mark.parametrize(
    "layers",
    [
        [conv((24, 16, 3, 3))],
        [conv((24, 3, 1, 1))],
        [conv((24, 1, 3, 3), groups=3)],
        [conv((24, 3, 3, 3)), conv((24, 3, 3, 3))],
        [Dense(name="d", weight=np.ones((24, 3), int))],
    ],
    ids=["many inputs", "one tap", "groups", "two layers", "dense"],
)
def test_others_are_left_alone(layers):
    signals = [Signal("x", (layers[0].weight.shape[1], 6, 6), 0, 9) for _ in layers]

    assert columns_of(layers, signals, windows=3) is None
