"""A window by itself has the rows of its population, and reads no more than it has to."""

from __future__ import annotations

import numpy as np

from targets.twin.window import remembers, window_of
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.snn import MultiThreshold

NUMBERS = np.random.default_rng(0)


def neurons(lateral):
    lateral = np.broadcast_to(np.array(lateral)[:, :, None], (3, 3, 2))
    return MultiThreshold(
        name="n",
        levels=4,
        threshold=np.arange(1, 7).reshape(6, 1, 1),
        windows=3,
        lateral=lateral,
    )


CHAIN = neurons([[0, 0, 0], [5, 0, 0], [0, 7, 0]])


def test_it_has_the_rows_and_the_numbers_of_its_window():
    layer = Dense(name="d", weight=NUMBERS.integers(1, 9, (6, 7)), bias=np.arange(6))

    window = window_of(CHAIN, [layer], 1)

    (own,) = window.layers
    np.testing.assert_array_equal(own.weight, layer.weight[2:4])
    np.testing.assert_array_equal(own.bias, [2, 3])
    np.testing.assert_array_equal(np.ravel(window.neurons.threshold), [3, 4])
    assert window.neurons.windows == 1
    assert not remembers(window.neurons)


def test_windows_that_take_nothing_are_none_of_the_earlier_ones():
    layer = Dense(name="d", weight=np.ones((6, 7), int))

    assert [window_of(CHAIN, [layer], number).earlier for number in range(3)] == [
        (),
        (0,),
        (1,),
    ]


def test_input_channels_behind_the_last_that_counts_are_not_read():
    weight = NUMBERS.integers(1, 9, (6, 12, 3, 3))
    weight[:2, 4:] = weight[2:4, 5:] = 0

    read = [
        window_of(CHAIN, [Conv(name="c", weight=weight)], number).layers[0].weight.shape[1]
        for number in range(3)
    ]

    assert read == [4, 8, 12]


def test_groups_become_one():
    layer = Conv(name="c", weight=NUMBERS.integers(1, 9, (6, 1, 3, 3)), groups=6)

    (own,) = window_of(CHAIN, [layer], 1).layers

    assert own.groups == 1
    np.testing.assert_array_equal(own.weight[[0, 1], [2, 3]], layer.weight[2:4, 0])
    assert np.count_nonzero(own.weight) == 2 * 9


def test_neurons_that_take_nothing_remember_nothing():
    assert remembers(CHAIN)
    assert not remembers(neurons([[0] * 3] * 3))
