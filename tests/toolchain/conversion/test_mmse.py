"""mmse has the smallest squared error on its own values, and so never more than maximum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.calibration import Activation
from toolchain.conversion.maximum import maximum
from toolchain.conversion.mmse import mmse
from toolchain.conversion.percentile import percentile

numbers = st.just(0.0) | st.floats(2**-20, 1000, width=32)
values = arrays(np.float32, (3, 20), elements=numbers)
levels = st.integers(1, 31)


def activation(values, maxima=None):
    if maxima is None:
        maxima = values.max(axis=1).astype(np.float64)
    return Activation(np.asarray(maxima, float), values.mean(axis=1, dtype=np.float64), values)


def error_of(values, thresholds, levels):
    """Return the mean squared error of each channel's staircase, ``(C,)``."""
    step = np.where(thresholds > 0, thresholds, 1.0)[:, None]
    staircase = step * np.clip(np.rint(values / step), 0, levels)
    return np.square(values - staircase).mean(axis=1)


@given(values, levels)
def test_the_error_is_never_larger_than_that_of_maximum(values, levels):
    statistics = activation(values)

    found = error_of(values, mmse(statistics, levels), levels)

    assert np.all(found <= error_of(values, maximum(statistics, levels), levels) * (1 + 1e-9))


@given(values, levels)
def test_thresholds_are_between_zero_and_the_maximum(values, levels):
    thresholds = mmse(activation(values), levels)

    largest = values.max(axis=1).astype(np.float64)
    np.testing.assert_array_equal(thresholds > 0, largest > 0)
    assert np.all(thresholds * levels <= largest * (1 + 1e-9))


@given(st.permutations(range(3)), values, levels)
def test_channels_do_not_depend_on_each_other(order, values, levels):
    together = mmse(activation(values), levels)

    np.testing.assert_array_equal(mmse(activation(values[order]), levels), together[order])


def test_outliers_are_clipped_where_that_pays():
    crowd = np.tile(np.linspace(0, 1, 1000, dtype=np.float32), (1, 1))
    crowd[0, 0] = 3
    statistics = activation(crowd)

    assert mmse(statistics, 3).item() < 0.5 * maximum(statistics, 3).item()


def test_a_channel_whose_values_missed_its_activity_takes_its_maximum():
    found = mmse(activation(np.zeros((1, 10), np.float32), [8.0]), 4)

    assert found.item() == 2


def test_a_channel_that_is_never_active_has_no_threshold():
    assert mmse(activation(np.zeros((2, 4), np.float32)), 4).tolist() == [0, 0]


@pytest.mark.parametrize("method", [maximum, mmse, percentile])
@given(values, levels, st.sampled_from([2.0**-9, 2.0**7]))
def test_no_method_depends_on_the_units(method, values, levels, factor):
    scaled = method(activation(values * np.float32(factor)), levels)

    np.testing.assert_allclose(scaled, method(activation(values), levels) * factor, rtol=1e-5)


def test_values_of_several_blocks_are_searched_together(monkeypatch):
    found = np.abs(np.random.default_rng(0).normal(size=(5, 20))).astype(np.float32)
    at_once = mmse(activation(found), 7)

    monkeypatch.setattr("toolchain.conversion.mmse._BLOCK_VALUES", 8)

    np.testing.assert_array_equal(mmse(activation(found), 7), at_once)


@pytest.mark.parametrize("levels", [1, 3, 15, 255])
def test_the_threshold_is_that_of_a_search_over_all_values(levels):
    random = np.random.default_rng(levels)
    found = np.maximum(random.gamma(2, 1, (8, 500)) - 1, 0).astype(np.float32)
    maxima = found.max(axis=1) * [1, 1, 1, 1, 1.01, 1.1, 2, 5]

    thresholds = mmse(activation(found, maxima), levels)

    candidates = [share * maxima / levels for share in np.linspace(1.0, 0.1, 91)]
    errors = [error_of(found, candidate, levels) for candidate in candidates]
    wanted = np.stack(candidates)[np.argmin(errors, axis=0), np.arange(8)]
    np.testing.assert_allclose(thresholds, wanted, rtol=1e-12)


@given(values, st.sampled_from([0, 0.5, 1, 2]), levels)
def test_no_candidate_has_a_smaller_error(found, unit, levels):
    found = found if unit == 0 else np.float32(unit) * np.rint(found / np.float32(unit))
    statistics = activation(found)

    smallest = error_of(found, mmse(statistics, levels), levels)

    for share in np.linspace(0.1, 1.0, 91):
        error = error_of(found, share * statistics.maximum / levels, levels)
        assert np.all(
            smallest <= error + 1e-12 * np.square(found, dtype=np.float64).mean(axis=1)
        )


def test_the_largest_threshold_is_taken_of_those_that_are_as_good():
    found = activation(np.full((1, 10), 900, np.float32), [3000])

    assert mmse(found, 15).item() == pytest.approx(180)  # as 150, 100, 90, 60, ... are


def test_a_channel_that_overflows_has_no_threshold():
    found = activation(np.full((1, 2), np.inf, np.float32))

    assert mmse(found, 4).tolist() == [0]


def test_activations_next_to_nothing_have_thresholds():
    tiny = np.float32(2.0**-149) * np.arange(1, 7, dtype=np.float32)

    (threshold,) = mmse(activation(tiny[None]), 3)

    assert 0 < threshold <= tiny.max() / 3


@given(values, st.integers(224, 300))
def test_with_levels_enough_no_threshold_is_better_than_that_of_the_maximum(values, levels):
    statistics = activation(values)

    found = mmse(statistics, levels)

    np.testing.assert_array_equal(found, maximum(statistics, levels))
    error = error_of(values, found, levels)
    for share in np.linspace(0.1, 0.99, 90):
        assert np.all(error <= error_of(values, share * found, levels) * (1 + 1e-6) + 1e-30)


def test_a_million_levels_take_no_memory_of_their_own():
    statistics = activation(np.ones((2, 5), np.float32))

    assert mmse(statistics, 10**6).tolist() == [1e-6, 1e-6]
