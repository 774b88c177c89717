"""narrowed keeps every integer, and leaves room for its negative."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.narrow import narrowed


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_integers_and_their_magnitudes_stay_what_they_are(values):
    array = narrowed(np.array(values))

    assert array.tolist() == values
    assert np.abs(array).tolist() == [abs(value) for value in values]
    assert (-array).tolist() == [-value for value in values]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (127, np.int8),
        (-127, np.int8),
        (-128, np.int16),
        (128, np.int16),
        (-(2**15), np.int32),
        (2**31 - 1, np.int32),
        (-(2**31), np.int64),
    ],
)
def test_the_type_is_the_narrowest_that_holds_both_signs(value, kind):
    assert narrowed(np.array([0, value])).dtype == kind


def test_what_is_narrow_already_is_not_copied():
    array = np.array([1, -2], np.int8)

    assert narrowed(array) is array


@pytest.mark.parametrize("array", [np.array([0.5]), np.zeros(0, np.int64), np.array([True])])
def test_what_holds_no_integers_is_left_alone(array):
    assert narrowed(array) is array
