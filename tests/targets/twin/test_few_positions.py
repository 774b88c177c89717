"""Convolutions over few positions are dense layers with the same sums, where that is a gain."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.few_positions import flattened
from targets.twin.signals import Signal
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.convolution import convolve

NUMBERS = np.random.default_rng(0)
SAME = ((1, 1), (1, 1))
CASES = {
    "2x2, kernel 3x3": ((2, 2), (3, 3), {"padding": SAME}),
    "one position": ((1, 1), (3, 3), {"padding": SAME}),
    "a stride": ((2, 2), (3, 3), {"padding": SAME, "stride": (2, 2)}),
    "a dilation": ((2, 2), (3, 3), {"padding": ((2, 2), (2, 2)), "dilation": (2, 2)}),
    "another padding before": ((2, 2), (3, 3), {"padding": ((2, 0), (1, 1))}),
}


def signal(*shape):
    return Signal("x", shape, 0, 15)


def last(x):
    """Return values with channels last, flat."""
    return np.moveaxis(x, 1, -1).reshape(len(x), -1)


@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_the_convolution(case):
    size, kernel, geometry = CASES[case]
    layer = Conv(name="c", weight=NUMBERS.integers(-127, 128, (4, 5, *kernel)), **geometry)
    x = NUMBERS.integers(0, 16, (3, 5, *size))

    (dense,), (flat,) = flattened([layer], [signal(5, *size)])

    sums = convolve(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    np.testing.assert_array_equal(last(x) @ dense.weight.T, last(sums))
    assert flat.shape == (5 * size[0] * size[1],)


def test_all_layers_of_a_population_become_dense():
    wide = Conv(name="w", weight=NUMBERS.integers(-9, 10, (4, 5, 3, 3)), padding=SAME)
    tall = Conv(
        name="t", weight=NUMBERS.integers(-9, 10, (4, 2, 9, 1)), padding=((4, 4), (0, 0))
    )

    layers, signals = flattened([wide, tall], [signal(5, 2, 2), signal(2, 2, 2)])

    assert [layer.weight.shape for layer in layers] == [(16, 20), (16, 8)]
    assert [one.shape for one in signals] == [(20,), (8,)]


def test_a_layer_of_one_tap_in_groups_beside_a_kernel_becomes_dense_too():
    kernel = Conv(name="k", weight=NUMBERS.integers(-9, 10, (4, 5, 3, 3)), padding=SAME)
    own = Conv(name="o", weight=NUMBERS.integers(-9, 10, (4, 2, 1, 1)), groups=4)
    x = NUMBERS.integers(0, 16, (3, 8, 2, 2))

    (_, dense), _ = flattened([kernel, own], [signal(5, 2, 2), signal(8, 2, 2)])

    np.testing.assert_array_equal(
        last(x) @ dense.weight.T, last(convolve(x, own.weight, groups=4))
    )


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (Conv(name="c", weight=np.ones((4, 5, 3, 3), int), padding=SAME), (3, 3)),
        (Conv(name="c", weight=np.ones((4, 1, 3, 3), int), padding=SAME, groups=5), (2, 2)),
        (
            Conv(name="c", weight=np.ones((4, 5, 5, 5), int), padding=((2, 2), (2, 2))),
            (4, 4),
        ),
        (Dense(name="d", weight=np.ones((4, 20), int)), (2, 2)),
    ],
    ids=["as many positions as taps", "groups", "many more weights", "a dense layer"],
)
def test_others_are_left_alone(layer, size):
    assert flattened([layer], [signal(5, *size)]) is None
