"""A scale is found exactly where the rounded product is the staircase for every sum."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.staircase import near_ties, staircase_scale


def counts(sums, scale, levels):
    """Return what a quantized layer of ONNX makes of sums."""
    return np.clip(np.rint(sums.astype(np.float32) * scale), 0, 255).clip(0, levels)


@pytest.mark.parametrize("levels", [1, 4, 15, 255])
@pytest.mark.parametrize("threshold", [1, 2, 3, 64, 127, 1000, 1001, 4096, 16257, 16256])
def test_every_sum_counts_as_the_neuron_does(levels, threshold):
    scale = staircase_scale(np.array([threshold]), levels)
    potentials = np.arange(-2 * threshold, (levels + 2) * threshold)

    found = counts(potentials - threshold // 2, scale[0], levels)

    np.testing.assert_array_equal(found, np.clip(potentials // threshold, 0, levels))


def test_plain_reciprocals_of_even_thresholds_would_miss_a_step():
    threshold, levels = np.arange(2, 4000, 2), 15
    ties = near_ties(threshold, levels)

    plain = counts(ties, (1 / threshold).astype(np.float32), levels)
    ours = counts(ties, staircase_scale(threshold, levels), levels)

    steps = np.broadcast_to(np.arange(1, levels + 1)[:, None], ties.shape)
    assert (plain != steps).any()
    np.testing.assert_array_equal(ours, steps)


@pytest.mark.parametrize("levels", [4, 8, 15, 255])
def test_thresholds_below_the_bound_of_the_documentation_have_a_scale(levels):
    odd = 2**23 // (2 * levels + 1) - 1 | 1
    even = 2**22 // (2 * levels + 1) - 2 & ~1
    thresholds = np.concatenate([odd - 2 * np.arange(500), even - 2 * np.arange(500)])

    assert staircase_scale(thresholds, levels) is not None


def test_thresholds_too_large_for_float32_have_none():
    assert staircase_scale(np.array([5, 2**24 + 1]), 15) is None
    assert staircase_scale(np.array([2**28]), 15) is None
