"""Windows run one after the other, each less what the earlier ones of its neuron take."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import VerifyError
from toolchain.ir.ann import Dense, Input
from toolchain.ir.counts import count
from toolchain.ir.reference import Windows, compute, counts_of, evaluate
from toolchain.ir.snn import IntegrateFire, LmHt, MultiThreshold
from toolchain.ir.train import Train
from toolchain.ir.windows import run_windows
from toolchain.testing import chain_from

seeds = st.integers(0, 2**31)


def neurons(random, windows, channels, levels=4, kind=MultiThreshold):
    lateral = random.integers(0, 6, (windows, windows, channels))
    lateral *= np.tri(windows, k=-1, dtype=int)[:, :, None]
    return kind(
        name="n",
        levels=levels,
        threshold=random.integers(1, 8, windows * channels),
        initial=random.integers(-3, 4, windows * channels),
        windows=windows,
        lateral=lateral,
    )


def plain_counts(node, a):
    """Return the spike counts of one sample ``(channels,)``, number by number."""
    channels = len(a) // node.windows
    n = np.zeros(len(a), int)
    for window in range(node.windows):
        for channel in range(channels):
            own = window * channels + channel
            m = int(a[own]) + int(node.initial[own])
            for earlier in range(window):
                m -= node.lateral[window, earlier, channel] * n[earlier * channels + channel]
            n[own] = min(max(m // int(node.threshold[own]), 0), node.levels)
    return n


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_every_view_counts_as_the_equations_say(seed, windows, channels):
    random = np.random.default_rng(seed)
    node = neurons(random, windows, channels)
    a = random.integers(-30, 60, (5, windows * channels)).astype(np.float64)
    lowered = IntegrateFire(
        **{field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    )

    wanted = np.array([plain_counts(node, sample) for sample in a])

    np.testing.assert_array_equal(compute(node, a), wanted)
    np.testing.assert_array_equal(count(node, a), wanted)
    np.testing.assert_array_equal(compute(lowered, a).counts, wanted)


@given(seeds, st.integers(2, 4))
def test_trains_of_every_window_are_sorted(seed, windows):
    random = np.random.default_rng(seed)
    node = neurons(random, windows, 3, kind=IntegrateFire)
    a = random.integers(-30, 60, (5, windows * 3)).astype(np.float64)

    train = compute(node, a)

    assert isinstance(train, Train)
    assert np.all(train.spikes[1:] <= train.spikes[:-1])


@given(seeds)
def test_an_image_has_the_windows_of_each_position(seed):
    random = np.random.default_rng(seed)
    node = neurons(random, 3, 2)
    image = dataclasses.replace(
        node,
        threshold=node.threshold.reshape(6, 1, 1),
        initial=node.initial.reshape(6, 1, 1),
    )
    a = random.integers(-30, 60, (2, 6, 3, 4)).astype(np.float64)

    found = compute(image, a)

    by_position = np.moveaxis(a, 1, -1).reshape(-1, 6)
    wanted = compute(node, by_position).reshape(2, 3, 4, 6)
    np.testing.assert_array_equal(found, np.moveaxis(wanted, -1, 1))


@given(seeds, st.integers(1, 5))
def test_a_later_window_changes_no_earlier_one(seed, windows):
    random = np.random.default_rng(seed)
    node = neurons(random, windows, 2)
    a = random.integers(-30, 60, (4, windows * 2)).astype(np.float64)
    changed = a.copy()
    changed[:, -2:] += 11

    before, after = compute(node, a), compute(node, changed)

    np.testing.assert_array_equal(after[:, :-2], before[:, :-2])


def test_scalars_hold_for_every_window():
    node = MultiThreshold(
        name="n",
        levels=3,
        threshold=np.array(2),
        initial=np.array(1),
        windows=2,
        lateral=np.array([[[0], [0]], [[2], [0]]]),
    )

    np.testing.assert_array_equal(compute(node, np.array([[5.0, 9.0]])), [[3, 2]])


def test_results_may_have_their_channels_elsewhere():
    node = neurons(np.random.default_rng(1), 2, 3)
    a = np.arange(12.0).reshape(2, 6)

    found = run_windows(node, a, lambda m, _: (m[None], np.zeros_like(m)), axis=2)

    np.testing.assert_array_equal(found, (a + node.initial)[None])


def shared(channels):
    """Return neurons of two windows whose threshold says nothing of their number."""
    return MultiThreshold(name="n", levels=1, windows=2, lateral=np.zeros((2, 2, channels)))


def test_channels_that_are_not_whole_windows_are_refused_by_name():
    node = shared(3)

    with pytest.raises(VerifyError) as error:
        node.output_shape((7,))

    assert str(error.value) == "verify at 'n': has 7 channels, which are not 2 windows"


def test_inhibition_of_other_channels_is_refused_by_name():
    node = shared(3)

    with pytest.raises(VerifyError) as error:
        node.output_shape((8,))

    assert error.value.node == "n"
    assert "lateral has shape (2, 2, 3); (2, 2, 4) is needed" in str(error.value)


def lm_ht(**others):
    mixing = np.array([[1.0, 0.5], [-0.25, 2.0]])
    return LmHt(name="n", levels=3, threshold=2.0, mixing=mixing, retention=0.5, **others)


def test_the_trained_neuron_is_that_of_the_paper():
    """Two windows by hand: memory, mixing, and a residue that is below 0."""
    current = np.array([[[7.0], [2.0]], [[-4.0], [6.0]]])

    sent = compute(lm_ht(initial=1.0), Windows(current))

    # sample 1: m = 0.5 + 8 = 8.5, 3 spikes, v = 2.5; m = 1.25 - 1.75 + 4 = 3.5, 1 spike
    # sample 2: m = 0.5 - 1 = -0.5, none; m = -0.25 + 1 + 12 = 12.75, 3 spikes
    np.testing.assert_array_equal(sent.values[..., 0], [[6, 2], [0, 6]])


def test_a_static_current_is_that_of_every_window():
    current = np.array([[7.0], [-4.0]])

    static = compute(lm_ht(), current)

    np.testing.assert_array_equal(
        static.values, compute(lm_ht(), Windows(np.stack([current] * 2, axis=1))).values
    )


def test_layers_run_in_every_window_and_the_output_is_the_mean():
    entry = Input(name="x", shape=(1,), source_shape=(1,), windows=2)
    graph = chain_from(
        entry,
        Dense(name="d", weight=np.array([[2.0]]), bias=np.array([1.0])),
        lm_ht(),
        Dense(name="e", weight=np.array([[3.0]]), bias=np.array([-1.0])),
    )
    x = np.array([[[3.0], [0.5]]])

    values = evaluate(graph, x)

    np.testing.assert_array_equal(values["d"].values, [[[7], [2]]])
    np.testing.assert_array_equal(counts_of(values["n"]), [[6, 2]])
    np.testing.assert_array_equal(values["y"], [[(17 + 5) / 2]])
