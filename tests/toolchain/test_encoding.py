"""An encoding loses nothing of data that have steps, and half a step of data that have none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.encoding import choose_encoding
from toolchain.ir.ann import Input
from toolchain.ir.reference import encode

whole = st.integers(0, 255)


def encoded(x):
    """Return the encoding of ``(N,)`` data, and the integers."""
    encoding = choose_encoding(x)
    node = Input(name="x", shape=(1,), source_shape=(1,), encoding=encoding)
    return encoding, encode(node, np.asarray(x)[:, None])[:, 0]


@given(arrays(np.uint8, 9, elements=whole))
def test_pixels_stay_what_they_are(x):
    _, found = encoded(x)

    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", [1 / 255, 1 / 256])
@given(k=arrays(np.int64, 9, elements=whole))
def test_fractions_of_pixels_are_exact(dtype, step, k):
    x = (k * step).astype(dtype)

    encoding, found = encoded(x)

    np.testing.assert_allclose(found * encoding.scale, x, rtol=1e-6)


@pytest.mark.parametrize("divisor", [127, 128])
@given(k=arrays(np.int64, 9, elements=st.integers(-127, 127)))
def test_signed_fractions_are_exact(divisor, k):
    x = (k / divisor).astype(np.float32)

    encoding, found = encoded(x)

    np.testing.assert_allclose(found * encoding.scale, x, rtol=1e-6, atol=1e-9)


@given(arrays(np.int64, 9, elements=st.integers(-127, 127)))
def test_signed_integers_stay_what_they_are(x):
    _, found = encoded(x)

    np.testing.assert_array_equal(found, x)


magnitudes = st.floats(1e-12, 1e12)


@given(arrays(np.float64, 9, elements=st.floats(-1, 1)), magnitudes)
def test_real_numbers_lose_half_a_step(x, magnitude):
    x = x * magnitude

    encoding, found = encoded(x)

    np.testing.assert_array_less(
        np.abs(found * encoding.scale - x), encoding.scale * 0.5 * (1 + 1e-6) + 1e-300
    )


@given(arrays(np.float64, 9, elements=st.floats(-1, 1)), magnitudes)
def test_the_largest_magnitude_is_told_from_nothing(x, magnitude):
    x = np.append(x, 1.0) * magnitude

    _, found = encoded(x)

    assert found[-1] >= 1


@given(arrays(np.float64, 9, elements=st.floats(-1, 1)), magnitudes)
def test_an_encoding_has_eight_bits_and_a_sign_only_where_needed(x, magnitude):
    encoding, found = encoded(x * magnitude)

    is_signed = bool((x * magnitude < 0).any())
    assert encoding.scale > 0
    assert encoding.low == (-encoding.high if is_signed else 0)
    assert 1 <= encoding.high <= (127 if is_signed else 255)
    assert encoding.low <= found.min() <= found.max() <= encoding.high


def test_nothing_but_zeros_can_be_encoded():
    encoding, found = encoded(np.zeros(3))

    assert (encoding.low, encoding.high) == (0, 1)
    assert not found.any()


def test_a_bound_has_room_for_more_of_its_kind():
    """Other samples may have larger pixels than those of the calibration."""
    assert choose_encoding(np.array([0, 100])).high == 127


def test_one_odd_value_spoils_whole_steps():
    assert choose_encoding(np.array([0.0, 1.0, 2.5])).scale == pytest.approx(2.5 / 255)
