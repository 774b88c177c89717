"""A joined layer gives the sum of its layers, and is not made where it would cost too much."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.joining import join
from targets.twin.signals import Signal
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.convolution import convolve

NUMBERS = np.random.default_rng(0)


def conv(shape, **geometry):
    return Conv(name="c", weight=NUMBERS.integers(-127, 128, shape), **geometry)


def joined_sum(joined, inputs):
    """Return what the joined layer makes of what the layers read."""
    return np.concatenate([block_sum(joined, block, inputs) for block in joined.blocks], axis=1)


def block_sum(joined, block, inputs):
    geometry = joined.stride, joined.padding, joined.dilation, joined.groups
    return convolve(read_by(block, inputs), block.weight, *geometry)


def read_by(block, inputs):
    read = []
    for part in block.parts:
        x = inputs[part.source][:, slice(*(part.channels or (None, None)))] << part.shift
        read.append(x if x.ndim == 2 else positions_of(part, x))
    return np.concatenate(read, axis=1)


def positions_of(part, x):
    (top, left), (down, right) = part.start, part.step
    behind = [(0, number) for number in part.behind]
    return np.pad(x[:, :, top::down, left::right], [(0, 0), (0, 0), *behind])


def parts_of(joined):
    return [part for block in joined.blocks for part in block.parts]


def largest_weight(joined):
    return max(int(np.abs(block.weight).max()) for block in joined.blocks)


def sum_of(layers, inputs):
    return sum(
        convolve(x, layer.weight, layer.stride, layer.padding, layer.dilation, layer.groups)
        for layer, x in zip(layers, inputs, strict=True)
    )


def signals_of(inputs, high=15):
    return [Signal(f"x{i}", x.shape[1:], 0, high) for i, x in enumerate(inputs)]


SAME = {"padding": ((1, 1), (1, 1))}
CASES = {
    "a skip": (conv((4, 3, 3, 3), **SAME), conv((4, 1, 1, 1), groups=4)),
    "a skip of many channels": (
        conv((70, 70, 3, 3), **SAME),
        conv((70, 2, 1, 1), groups=70),
    ),
    "two kernels": (conv((4, 3, 3, 3), **SAME), conv((4, 2, 5, 1), padding=((2, 2), (0, 0)))),
    "spacings": (
        conv((4, 3, 3, 3), padding=((2, 2), (2, 2)), dilation=(2, 2)),
        conv((4, 2, 3, 3), **SAME),
    ),
    "another stride": (
        conv((4, 3, 3, 3), **SAME),
        conv((4, 5, 1, 1), stride=(2, 2)),
    ),
    "equal strides": (
        conv((4, 3, 3, 3), stride=(2, 2), **SAME),
        conv((4, 5, 1, 1), stride=(2, 2)),
    ),
    "another stride beside a kernel": (
        conv((4, 3, 3, 3), **SAME),
        conv((4, 2, 5, 4), stride=(2, 2), dilation=(1, 2), padding=((2, 2), (3, 3))),
    ),
    "a stride of a size that is no multiple": (
        conv((4, 3, 3, 3), stride=(2, 3), **SAME),
        conv((4, 5, 1, 1)),
    ),
    "beyond the border": (
        conv((4, 3, 1, 1), padding=((1, 1), (0, 0))),
        conv((4, 2, 2, 1), padding=((2, 1), (0, 0))),
    ),
}


SIZES = {
    "another stride": [(6, 6), (12, 11)],
    "another stride beside a kernel": [(6, 6), (11, 11)],
    "a stride of a size that is no multiple": [(12, 16), (6, 6)],
}


@pytest.mark.parametrize("case", CASES)
def test_it_gives_the_sum_of_the_layers(case):
    layers = CASES[case]
    sizes = SIZES.get(case, [(6, 6), (6, 6)])
    inputs = [
        NUMBERS.integers(0, 16, (2, layer.weight.shape[1] * layer.groups, *size))
        for layer, size in zip(layers, sizes, strict=True)
    ]

    joined = join(layers, signals_of(inputs))

    np.testing.assert_array_equal(joined_sum(joined, inputs), sum_of(layers, inputs))
    assert largest_weight(joined) <= 127


@pytest.mark.parametrize(
    ("high", "largest", "parts"), [(15, 2000, 2), (255, 250, 2), (1, 9000, 2)]
)
def test_weights_beyond_8_bits_become_digits(high, largest, parts):
    layer = Conv(name="c", weight=NUMBERS.integers(-largest, largest + 1, (4, 3, 1, 1)))
    x = NUMBERS.integers(0, high + 1, (2, 3, 5, 5))

    joined = join([layer], signals_of([x], high))

    np.testing.assert_array_equal(joined_sum(joined, [x]), sum_of([layer], [x]))
    assert len(parts_of(joined)) == parts
    assert largest_weight(joined) <= 127
    assert all((high << part.shift) <= 255 for part in parts_of(joined))


def test_dense_layers_read_their_inputs_side_by_side():
    layers = [Dense(name="d", weight=NUMBERS.integers(-300, 301, (4, size))) for size in (3, 5)]
    inputs = [NUMBERS.integers(0, 16, (2, size)) for size in (3, 5)]

    joined = join(layers, signals_of(inputs))

    (block,) = joined.blocks
    wanted = sum(x @ layer.weight.T for layer, x in zip(layers, inputs, strict=True))
    np.testing.assert_array_equal(read_by(block, inputs) @ block.weight.T, wanted)


def test_sizes_that_differ_are_not_joined():
    layers = [conv((4, 3, 3, 3)), conv((4, 3, 1, 1))]

    assert join(layers, [Signal("a", (3, 6, 6), 0, 15), Signal("b", (3, 4, 4), 0, 15)]) is None


def test_what_would_cost_more_than_float32_is_not_joined():
    wide = Conv(name="c", weight=np.full((64, 64, 1, 1), 127 * 40))

    assert join([wide], [Signal("a", (64, 4, 4), 0, 255)]) is None


def test_channels_that_are_joined_one_by_one_are_read_in_blocks():
    layers = [conv((70, 70, 3, 3), **SAME), conv((70, 1, 1, 1), groups=70)]

    joined = join(layers, [Signal("a", (70, 6, 6), 0, 15), Signal("b", (70, 6, 6), 0, 15)])

    assert [block.weight.shape[:2] for block in joined.blocks] == [
        (32, 102),
        (32, 102),
        (6, 76),
    ]
    assert [part.channels for part in parts_of(joined) if part.source == 1] == [
        (0, 32),
        (32, 64),
        (64, 70),
    ]
