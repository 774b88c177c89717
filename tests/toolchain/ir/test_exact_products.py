"""exact_operands takes float32 only where every sum of integers is the same in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir.exact_products import exact_operands


@given(st.integers(1, 2**20), st.integers(1, 2**12), st.integers(1, 40), st.randoms())
def test_sums_are_those_of_integers(largest, most, inputs, random):
    weight = np.array(
        [[random.randint(-largest, largest) for _ in range(inputs)] for _ in "ab"]
    )
    x = np.array([[random.randint(-most, most) for _ in range(inputs)] for _ in "abc"])

    weights, read = exact_operands(weight, x.astype(np.float64))

    np.testing.assert_array_equal(read @ weights.T, x @ weight.T)


@pytest.mark.parametrize(
    ("largest", "kind"), [(2**21 - 1, np.float32), (2**21, np.float64), (2**24, np.float64)]
)
def test_float32_ends_where_a_sum_could_reach_its_limit(largest, kind):
    weights, read = exact_operands(np.full((1, 4), largest), np.array([[2.0, -1, 0, 1]]))

    assert weights.dtype == read.dtype == kind


@pytest.mark.parametrize(
    ("large", "small", "kind"),
    [(2**23, 1, np.float32), (2**24 - 4, 1, np.float32), (2**24 - 3, 1, np.float64)],
)
def test_one_large_weight_does_not_decide_for_its_row(large, small, kind):
    weights, _ = exact_operands(np.array([[small, -large, small, small]]), np.ones((1, 4)))

    assert weights.dtype == kind


@pytest.mark.parametrize(
    ("weight", "x"), [(np.array([[1]]), 0.5), (np.array([[1.0]]), 1), (np.array([[0.5]]), 1)]
)
def test_what_is_no_integer_stays_in_float64(weight, x):
    weights, read = exact_operands(weight, np.array([[x]], np.float64))

    assert weights.dtype == read.dtype == np.float64


@pytest.mark.parametrize(("bias", "kind"), [(-1, np.float32), (-2, np.float64)])
def test_the_bias_counts_as_one_more_of_a_row(bias, kind):
    weight, x = np.full((1, 2), 2**23 - 1), np.ones((1, 2))

    weights, _ = exact_operands(weight, x, np.array([0, bias]))

    assert weights.dtype == kind
