"""exact_kind takes float32 only where every sum of integers is the same in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.exact_products import exact_kind


@given(st.integers(1, 2**20), st.integers(1, 2**12), st.integers(1, 40), st.randoms())
def test_sums_are_those_of_integers(largest, most, inputs, random):
    weight = np.array(
        [[random.randint(-largest, largest) for _ in range(inputs)] for _ in "ab"]
    )
    x = np.array([[random.randint(-most, most) for _ in range(inputs)] for _ in "abc"])

    kind = exact_kind(weight, x.astype(np.float64))

    np.testing.assert_array_equal(x.astype(kind) @ weight.T.astype(kind), x @ weight.T)


@pytest.mark.parametrize(
    ("largest", "kind"), [(2**21 - 1, np.float32), (2**21, np.float64), (2**24, np.float64)]
)
def test_float32_ends_where_a_sum_could_reach_its_limit(largest, kind):
    assert exact_kind(np.full((1, 4), largest), np.array([[2.0, -1, 0, 1]])) is kind


@pytest.mark.parametrize(
    ("large", "small", "kind"),
    [(2**23, 1, np.float32), (2**24 - 4, 1, np.float32), (2**24 - 3, 1, np.float64)],
)
def test_one_large_weight_does_not_decide_for_its_row(large, small, kind):
    weight = np.array([[small, -large, small, small]])

    assert exact_kind(weight, np.ones((1, 4))) is kind


@pytest.mark.parametrize(
    ("weight", "x"), [(np.array([[1]]), 0.5), (np.array([[1.0]]), 1), (np.array([[0.5]]), 1)]
)
def test_what_is_no_integer_stays_in_float64(weight, x):
    assert exact_kind(weight, np.array([[x]], np.float64)) is np.float64


@pytest.mark.parametrize(("bias", "kind"), [(-1, np.float32), (-2, np.float64)])
def test_the_bias_counts_as_one_more_of_a_row(bias, kind):
    weight, x = np.full((1, 2), 2**23 - 1), np.ones((1, 2))

    assert exact_kind(weight, x, np.array([0, bias])) is kind
