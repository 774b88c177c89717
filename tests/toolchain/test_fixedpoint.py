"""Registers lose, wrap, saturate and shift by the integer rules that the chip documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.fixedpoint import (
    DECAY_UNITY,
    STATE_LIMIT,
    decay,
    saturate,
    shift,
    wrap24,
    wrap_sum,
)

states = st.integers(-(1 << 30), 1 << 30)
fractions = st.integers(0, DECAY_UNITY)


def of(function, value, *arguments, kind=np.int64):
    """The result of ``function`` for one number."""
    (result,) = function(np.array([value], kind), *arguments)
    return int(result)


@given(st.integers(1 - (1 << 41), (1 << 41) - 1), fractions)
def test_decay_truncates_the_exact_quotient_toward_zero(x, lost):
    magnitude = abs(x) * (DECAY_UNITY - lost) // DECAY_UNITY

    assert of(decay, x, lost) == (magnitude if x >= 0 else -magnitude)


@given(states, fractions)
def test_decay_never_grows_and_never_changes_the_sign(x, lost):
    left = of(decay, x, lost, kind=np.int32)

    assert abs(left) <= abs(x)
    assert left * x >= 0


@given(states)
def test_losing_nothing_keeps_everything_and_losing_all_keeps_nothing(x):
    assert of(decay, x, 0) == x
    assert of(decay, x, DECAY_UNITY) == 0


def test_every_neuron_may_lose_a_fraction_of_its_own():
    left = decay(np.array([[4096, -4096], [100, -1]], np.int32), np.array([1, 2048]))

    np.testing.assert_array_equal(left, [[4095, -2048], [99, 0]])
    assert left.dtype == np.int32


@pytest.mark.parametrize(
    ("u", "wrapped"),
    [
        (2**23 - 1, 2**23 - 1),
        (2**23, 2**23),
        (2**23 + 1, -(2**23) + 1),
        (-(2**23) + 1, -(2**23) + 1),
        (-(2**23), 2**23),
        (-(2**23) - 1, 2**23 - 1),
        (2**25, 2**25 - 2**24),
    ],
)
def test_u_wraps_by_one_turn_and_has_one_end_of_its_register_too_many(u, wrapped):
    assert of(wrap24, u) == wrapped


@given(states)
def test_wrapping_u_moves_it_by_at_most_one_turn(u):
    assert of(wrap24, u) - u in (0, 2 * STATE_LIMIT, -2 * STATE_LIMIT)


@given(st.integers(1 - 3 * STATE_LIMIT, 3 * STATE_LIMIT))
def test_one_turn_away_u_comes_back(u):
    assert -STATE_LIMIT < of(wrap24, u) <= STATE_LIMIT


@given(st.integers(-(1 << 40), 1 << 40))
def test_a_sum_wraps_to_its_lowest_24_bits(a):
    wrapped = of(wrap_sum, a)

    assert -STATE_LIMIT <= wrapped < STATE_LIMIT
    assert (a - wrapped) % (1 << 24) == 0


@given(states)
def test_saturating_twice_is_saturating_once(v):
    once = of(saturate, v)

    assert abs(once) < STATE_LIMIT
    assert of(saturate, once) == once
    assert once == v or abs(v) >= STATE_LIMIT


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-31, 31))
def test_a_shift_scales_by_a_power_of_two_and_rounds_down(a, exponent):
    expected = a * 2**exponent if exponent >= 0 else a // 2**-exponent

    assert of(shift, a, exponent) == expected
