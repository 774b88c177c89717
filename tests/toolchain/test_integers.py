"""Integers are found again in real weights, and thresholds know when a level is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.integers import WHOLE_BIAS, find_lattice, whole_thresholds
from toolchain.ir.ann import Conv, Dense

RANDOM = np.random.default_rng(0)


def dense(weight):
    return Dense(name="dense", weight=np.asarray(weight))


@given(st.randoms())
def test_rows_are_multiples_of_what_they_were_made_of(random):
    numbers = np.random.default_rng(random.getrandbits(32))
    integers = numbers.integers(-127, 128, (5, random.randint(2, 80)))
    integers[:, :2] = [127, 126]
    step = np.exp(numbers.normal(size=5))

    found = find_lattice([dense(np.float32(integers * step[:, None]))], 127)

    np.testing.assert_allclose(found.step, step, rtol=1e-6)
    np.testing.assert_array_equal(found.weights[0], integers)


def test_layers_that_are_summed_have_one_step_for_each_row():
    first = dense([[0.75, 0.25]])
    second = Conv(name="conv", weight=np.full((1, 2, 1, 1), 0.5))

    found = find_lattice([first, second], 127)

    assert found.step == [0.25]
    assert [weight.ravel().tolist() for weight in found.weights] == [[3, 1], [2, 2]]
    assert found.largest == [3]


def test_a_row_of_zeros_is_a_multiple_of_anything():
    found = find_lattice([dense([[0.0, 0.0], [3.0, 6.0]])], 127)

    assert found.step.tolist() == [1, 3]
    assert found.largest.tolist() == [1, 2]


@pytest.mark.parametrize(
    "row", [RANDOM.normal(size=40), np.array([1.0, 128.0]), np.array([1.0, np.pi])]
)
def test_other_rows_are_refused_whatever_their_neighbours_are(row):
    weight = np.stack([row, np.ones_like(row)])

    assert find_lattice([dense(weight)], 127) is None


def counts(sums, threshold, constant, levels):
    return np.clip(np.floor((sums + constant) / threshold), 0, levels)


@given(st.randoms())
def test_a_level_that_is_said_to_be_exact_is_exact_for_every_sum(random):
    exact = random.choice(
        (random.uniform(0.5, 40), random.randint(1, 40), random.randint(1, 9))
    )
    bias, initial = random.uniform(-3, 3), random.choice((0.0, 0.5))
    levels = random.randint(1, 40)
    off = abs(bias * exact - round(bias * exact))
    assume(off == 0 or off > 2 * WHOLE_BIAS * max(abs(bias * exact), 1))

    found = whole_thresholds(
        np.array([float(exact)]),
        np.array([[bias]]),
        np.array([initial]),
        levels,
        np.array([1]),
    )

    sums = np.arange(-200, int(exact * (levels + 4)) + 200)
    ours = counts(sums, found.threshold[0], found.constant[0, 0], levels)
    wanted = counts(sums, exact, (bias + initial) * exact, levels)
    if found.error[0] == 0:
        np.testing.assert_array_equal(ours, wanted)
    assert np.abs(ours - wanted).max() <= np.ceil(found.error[0])


def test_whole_thresholds_are_exact_for_any_number_of_positions():
    bias = RANDOM.normal(size=(2, 6))

    found = whole_thresholds(
        np.array([64.0, 7.0]), bias, np.full(2, 0.5), 255, np.array([1, 1])
    )

    assert found.threshold.tolist() == [64, 7]
    assert found.error.tolist() == [0, 0]
    np.testing.assert_array_equal(
        found.constant, np.floor((bias + 0.5) * np.array([[64], [7]]))
    )


def test_what_float32_has_rounded_of_a_whole_bias_is_whole():
    near = np.array([[41 / 8 - 1e-8]])

    found = whole_thresholds(np.array([8.0]), near, np.zeros(1), 3, np.array([1]))

    assert found.constant.tolist() == [[41]]


def test_levels_move_least_where_counts_usually_are():
    exact, levels = np.array([100.4]), 160

    found = whole_thresholds(exact, np.zeros((1, 1)), np.zeros(1), levels, np.array([1]))

    usual = levels // 16
    assert abs(usual * found.threshold[0] - found.constant[0, 0] - usual * exact[0]) <= 1
    assert 0 < found.error[0] <= levels * 0.4 / 100 + 0.02
