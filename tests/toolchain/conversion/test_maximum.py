"""maximum puts the highest level at the largest activation, so that nothing is clipped."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.calibration import Activation
from toolchain.conversion.maximum import maximum

numbers = st.just(0.0) | st.floats(2**-20, 1000, width=32)
values = arrays(np.float32, (3, 20), elements=numbers)


def activation(values):
    maxima = values.max(axis=1).astype(np.float64)
    return Activation(maxima, values.mean(axis=1, dtype=np.float64), values)


@given(values, st.integers(1, 31))
def test_the_largest_activation_is_the_highest_level(values, levels):
    thresholds = maximum(activation(values), levels)

    np.testing.assert_allclose(thresholds * levels, values.max(axis=1), rtol=1e-12)


def test_a_channel_that_is_never_active_has_no_threshold():
    assert maximum(activation(np.zeros((2, 4), np.float32)), 4).tolist() == [0, 0]
