"""percentile ignores rare outliers and channels that are mostly silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.calibration import Activation
from toolchain.conversion.percentile import percentile

numbers = st.just(0.0) | st.floats(2**-20, 1000, width=32)
values = arrays(np.float32, (3, 20), elements=numbers)


def activation(values, maxima=None):
    if maxima is None:
        maxima = values.max(axis=1).astype(np.float64)
    return Activation(np.asarray(maxima, float), values.mean(axis=1, dtype=np.float64), values)


@given(values, st.integers(1, 31))
def test_thresholds_are_between_zero_and_the_maximum(values, levels):
    thresholds = percentile(activation(values), levels)

    largest = values.max(axis=1)
    np.testing.assert_array_equal(thresholds > 0, largest > 0)
    assert np.all(thresholds * levels <= largest * (1 + 1e-6))


def test_one_outlier_in_many_does_not_matter():
    plain = np.linspace(0, 1, 10000, dtype=np.float32)
    spoiled = plain.copy()
    spoiled[0] = 1000

    thresholds = percentile(activation(np.stack([plain, spoiled])), 1)

    assert thresholds[1] == pytest.approx(thresholds[0], rel=1e-3)


def test_silence_does_not_pull_the_percentile_down():
    mostly_silent = np.zeros((1, 10000), np.float32)
    mostly_silent[0, :20] = np.arange(1, 21)

    assert percentile(activation(mostly_silent), 1).item() > 19


def test_a_channel_whose_values_missed_its_activity_takes_its_maximum():
    assert percentile(activation(np.zeros((1, 10), np.float32), [8.0]), 4).item() == 2


def test_a_channel_that_is_never_active_has_no_threshold():
    assert percentile(activation(np.zeros((2, 4), np.float32)), 4).tolist() == [0, 0]
