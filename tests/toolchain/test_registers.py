"""Registers make a stock neuron, ``v > threshold``, spike when ours reaches its threshold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.registers import (
    Demand,
    shared_exponent,
    spatial_excess,
    spatial_registers,
    temporal_excess,
    temporal_registers,
)
from toolchain.target import TARGETS

TARGET = TARGETS["loihi2"]
CHANNELS = 3

levels = st.integers(1, 15)


@st.composite
def demands(draw, largest=60000):
    """Draw what a population of three channels asks, at one position or two."""

    def integers(low, high, shape=CHANNELS):
        return draw(arrays(np.int64, shape, elements=st.integers(low, high)))

    divisor = draw(st.sampled_from([4, 64]))

    def sums():
        near = draw(st.sampled_from([0, largest * 15 // 16]))
        return integers(near, largest)

    return Demand(
        threshold=integers(1, draw(st.sampled_from([300, 16000]))),
        constant=integers(
            -largest // divisor, largest // divisor, (CHANNELS, draw(st.integers(1, 2)))
        ),
        low=sums(),
        high=sums(),
    )


def currents(demand, draw):
    """Draw input currents within their bounds, ``(C, 1)``: the ends, or anything between."""
    share = draw(arrays(np.float64, CHANNELS, elements=st.sampled_from([0, 0.3, 0.9, 1.0])))
    return np.rint(-demand.low + share * (demand.low + demand.high)).astype(np.int64)[:, None]


@given(demands(), levels, st.data())
def test_in_time_the_next_spike_comes_iff_the_potential_reaches_the_next_threshold(
    demand, levels, data
):
    registers = temporal_registers(demand)
    a = currents(demand, data.draw)
    theta = demand.threshold[:, None]

    for spikes in range(levels):
        u = registers.start + a - spikes * theta
        wanted = demand.constant + a - spikes * theta >= theta
        np.testing.assert_array_equal(u > registers.threshold, wanted)


@given(demands(), st.data())
def test_in_time_nothing_spikes_behind_a_closed_gate(demand, data):
    registers = temporal_registers(demand)

    u = registers.start + currents(demand, data.draw) - registers.gate

    assert registers.gate >= 0
    assert np.all(u <= registers.threshold)


@given(demands(), st.data())
def test_in_time_what_fits_never_leaves_its_register(demand, data):
    assume(not temporal_excess(demand, TARGET).any())
    registers = temporal_registers(demand)
    a = currents(demand, data.draw)

    for u in (registers.start + a, registers.start + a - registers.gate):
        assert np.abs(u).max() <= TARGET.current_max
    assert registers.threshold <= TARGET.threshold_max
    assert demand.threshold.max() <= 127 << 7


@given(demands(), st.permutations(range(CHANNELS)))
def test_in_time_whether_a_channel_fits_depends_on_it_alone(demand, order):
    alone = [
        temporal_excess(
            Demand(
                **{
                    field.name: getattr(demand, field.name)[channel : channel + 1]
                    for field in dataclasses.fields(demand)
                }
            ),
            TARGET,
        ).item()
        for channel in range(CHANNELS)
    ]

    np.testing.assert_array_equal(temporal_excess(demand, TARGET), alone)


def one(threshold=100, constant=0, low=0, high=0):
    """Return what a single neuron asks."""
    parts = (np.array([value]) for value in (threshold, constant, low, high))
    threshold, constant, low, high = parts
    return Demand(threshold, constant[:, None], low, high)


@pytest.mark.parametrize(
    ("demand", "exceeds"),
    [
        (one(), False),
        (one(threshold=16256), False),
        (one(threshold=16257), True),
        (one(high=65000), False),
        (one(high=66000), True),
        (one(low=65000), False),
        (one(low=66000), True),
        (one(constant=66000), True),
        (one(constant=-66000), True),
    ],
)
def test_in_time_a_half_of_the_register_is_for_each_sign(demand, exceeds):
    assert temporal_excess(demand, TARGET).item() == exceeds


@given(demands(), levels, st.data())
def test_in_space_a_copy_spikes_iff_the_potential_reaches_its_threshold(demand, levels, data):
    registers = spatial_registers(demand, levels, TARGET)
    a = currents(demand, data.draw)[:, None]
    k = np.arange(1, levels + 1)[:, None]

    spikes = a + registers.bias > registers.threshold

    wanted = demand.constant[:, None] + a >= k * demand.threshold[:, None, None]
    np.testing.assert_array_equal(spikes, wanted)


@pytest.mark.parametrize("own_thresholds", [True, False])
@given(demands(largest=131071), levels, st.data())
def test_in_space_what_fits_never_leaves_its_register(own_thresholds, demand, levels, data):
    excess = spatial_excess(demand, levels, TARGET, own_thresholds=own_thresholds)
    assume(not excess.any())
    registers = spatial_registers(demand, levels, TARGET)
    a = currents(demand, data.draw)[:, None]

    assert np.abs(registers.bias).max() <= TARGET.bias_max
    assert np.min(registers.threshold) >= 0
    assert np.max(registers.threshold) <= TARGET.threshold_max
    assert np.abs(a).max() <= TARGET.current_max
    assert np.abs(a + registers.bias).max() <= TARGET.current_max


@given(demands(), levels)
def test_in_space_one_threshold_serves_where_it_can(demand, levels):
    shared = spatial_excess(demand, levels, TARGET, own_thresholds=False)

    registers = spatial_registers(demand, levels, TARGET)

    if not shared.any():
        assert np.ndim(registers.threshold) == 0


@pytest.mark.parametrize(
    ("demand", "levels", "exceeds"),
    [
        (one(), 4, False),
        (one(threshold=8000), 1, False),
        (one(threshold=8190), 2, False),
        (one(threshold=8192), 2, True),
        (one(threshold=2000), 5, False),
        (one(threshold=3000), 5, True),
        (one(high=120000), 1, False),
        (one(high=131072), 1, True),
        (one(low=131072), 1, True),
        (one(high=131000), 1, True),
    ],
)
def test_in_space_biases_span_all_levels_and_sums_fit(demand, levels, exceeds):
    found = spatial_excess(demand, levels, TARGET, own_thresholds=False)

    assert found.item() == exceeds


@pytest.mark.parametrize(
    ("threshold", "levels", "exceeds"),
    [(8737, 15, False), (8740, 15, True), (131071, 1, False)],
)
def test_in_space_own_thresholds_reach_further(threshold, levels, exceeds):
    found = spatial_excess(one(threshold=threshold), levels, TARGET, own_thresholds=True)

    assert found.item() == exceeds


@given(arrays(np.int64, 4, elements=st.integers(1, 10**6)))
def test_an_exponent_is_the_smallest_that_holds_all_thresholds(threshold):
    exponent = shared_exponent(threshold, TARGET)

    assert threshold.max() <= 127 << exponent
    assert exponent == 0 or threshold.max() > 127 << (exponent - 1)
