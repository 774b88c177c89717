"""A multi-threshold neuron counts like L steps of one threshold, L copies, or binary places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.errors import VerifyError
from toolchain.ir.ann import MaxPool
from toolchain.ir.reference import compute
from toolchain.ir.snn import (
    IntegrateFire,
    MultiThreshold,
    OrPool,
    RadixFire,
    RadixPool,
    ThresholdBank,
)
from toolchain.ir.train import Train

SORTED = [IntegrateFire, ThresholdBank]
LOWERED = [*SORTED, RadixFire]

whole_currents = arrays(np.int64, (2, 3, 4, 4), elements=st.integers(-5000, 5000))
real_currents = arrays(np.float64, (2, 3, 4, 4), elements=st.floats(-40, 40))
levels = st.integers(1, 31)


@st.composite
def whole_neurons(draw):
    thresholds = draw(arrays(np.int64, (3, 1, 1), elements=st.integers(1, 300)))
    initial = draw(arrays(np.int64, (3, 1, 1), elements=st.integers(-300, 300)))
    return {"name": "n", "levels": draw(levels), "threshold": thresholds, "initial": initial}


def is_sorted(train):
    return bool(np.all(train.spikes[1:] <= train.spikes[:-1]))


@pytest.mark.parametrize("kind", LOWERED)
@given(whole_currents, whole_neurons())
def test_whole_neurons_count_the_same_lowered(kind, a, neurons):
    train = compute(kind(**neurons), a)

    np.testing.assert_array_equal(train.counts, compute(MultiThreshold(**neurons), a))


@pytest.mark.parametrize("kind", LOWERED)
@given(real_currents, levels)
def test_converted_neurons_count_the_same_lowered(kind, a, levels):
    neurons = {"name": "n", "levels": levels, "initial": np.asarray(0.5)}

    train = compute(kind(**neurons), a)

    np.testing.assert_array_equal(train.counts, compute(MultiThreshold(**neurons), a))


@pytest.mark.parametrize("kind", SORTED)
@given(whole_currents, whole_neurons())
def test_spikes_are_sorted(kind, a, neurons):
    assert is_sorted(compute(kind(**neurons), a))


@given(real_currents, levels, st.sampled_from([0.1, 1.0, 3.7]))
def test_a_spike_lowers_the_potential_by_the_threshold(a, levels, threshold):
    neurons = {"name": "n", "levels": levels, "threshold": np.full((3, 1, 1), threshold)}

    train = compute(IntegrateFire(**neurons), a)

    m = a + IntegrateFire(**neurons).initial
    for spikes in train.spikes:
        np.testing.assert_array_equal(spikes, m >= threshold)
        m = np.where(spikes, m - threshold, m)


@given(whole_currents, whole_neurons())
def test_binary_places_are_those_of_the_count(a, neurons):
    train = compute(RadixFire(**neurons), a)

    counts = compute(MultiThreshold(**neurons), a).astype(int)
    places = neurons["levels"].bit_length()
    assert len(train.spikes) == places
    for position, spikes in enumerate(train.spikes):
        np.testing.assert_array_equal(spikes, counts >> places - 1 - position & 1)


@given(whole_currents, whole_neurons())
def test_both_lowerings_spike_in_the_same_places(a, neurons):
    in_time = compute(IntegrateFire(**neurons), a)
    in_space = compute(ThresholdBank(**neurons), a)

    np.testing.assert_array_equal(in_time.spikes, in_space.spikes)


@given(whole_currents, whole_neurons())
def test_a_count_is_the_definition(a, neurons):
    found = compute(MultiThreshold(**neurons), a)

    m = a + neurons["initial"]
    wanted = np.clip(m // neurons["threshold"], 0, neurons["levels"])
    np.testing.assert_array_equal(found, wanted)


POOLS = {IntegrateFire: OrPool, ThresholdBank: OrPool, RadixFire: RadixPool}


@pytest.mark.parametrize("kind", LOWERED)
@given(
    whole_currents,
    whole_neurons(),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(*[st.tuples(st.integers(0, 1), st.integers(0, 1))] * 2),
)
def test_pooled_trains_have_the_largest_count(kind, a, neurons, kernel, stride, padding):
    """The OR of sorted trains; of binary numbers that of those which are equal so far."""
    pairs = zip(padding, kernel, strict=True)
    padding = tuple(tuple(min(pad, size - 1) for pad in side) for side, size in pairs)
    pool = {"name": "p", "kernel": kernel, "stride": stride, "padding": padding}
    train = compute(kind(**neurons), a)

    pooled = compute(POOLS[kind](**pool), train)

    assert is_sorted(pooled) or kind is RadixFire
    np.testing.assert_array_equal(pooled.counts, compute(MaxPool(**pool), train.counts))


def test_an_or_of_unsorted_trains_is_not_the_maximum():
    """The theorem needs its condition: without it the test above could not fail."""
    spikes = np.zeros((2, 1, 1, 1, 2), bool)
    spikes[0, ..., 0] = spikes[1, ..., 1] = True
    pool = {"name": "p", "kernel": (1, 2), "stride": (1, 1)}

    pooled = compute(OrPool(**pool), Train(spikes))

    assert pooled.counts.item() == 2
    assert compute(MaxPool(**pool), Train(spikes).counts).item() == 1


def test_an_or_of_binary_numbers_is_not_the_largest():
    """4 or 3 is 7: the losers have to drop out."""
    spikes = np.array([[1, 0], [0, 1], [0, 1]], bool).reshape(3, 1, 1, 1, 2)
    pool = {"name": "p", "kernel": (1, 2), "stride": (1, 1)}
    numbers = Train(spikes, is_radix=True)

    assert compute(OrPool(**pool), numbers).spikes.all()
    assert compute(RadixPool(**pool), numbers).counts.item() == 4


@pytest.mark.parametrize("x", [np.ones((1, 1, 2, 2)), Train(np.ones((1, 1, 1, 2, 2), bool))])
def test_only_binary_numbers_are_compared_place_by_place(x):
    with pytest.raises(TypeError, match="p pools binary numbers"):
        compute(RadixPool(name="p", kernel=(1, 1), stride=(1, 1)), x)


def test_counts_cannot_be_pooled_by_an_or():
    with pytest.raises(TypeError, match="p pools single spikes"):
        compute(OrPool(name="p", kernel=(1, 1), stride=(1, 1)), np.ones((1, 1, 2, 2)))


@pytest.mark.parametrize("kind", [MultiThreshold, *LOWERED])
def test_neurons_need_a_level(kind):
    with pytest.raises(VerifyError) as error:
        kind(name="n", levels=0)

    assert str(error.value) == "verify at 'n': levels is 0; it must be 1 or more"


def test_numbers_have_no_more_places_than_the_chip():
    assert RadixFire(name="n", levels=2**16 - 1).places == 16

    with pytest.raises(VerifyError) as error:
        RadixFire(name="n", levels=2**16)

    assert error.value.problem == "has 65536 levels; numbers of 16 places end at 65535"


@pytest.mark.parametrize("threshold", [0, -1, [1.0, 0.0], [float("nan")]])
def test_thresholds_are_above_zero(threshold):
    with pytest.raises(VerifyError) as error:
        MultiThreshold(name="n", levels=1, threshold=np.asarray(threshold))

    assert str(error.value) == "verify at 'n': a threshold is not above 0"


@pytest.mark.parametrize("name", ["threshold", "initial"])
def test_parameters_that_do_not_fit_the_population_are_refused(name):
    neurons = MultiThreshold(name="n", levels=1, **{name: np.ones(3)})

    with pytest.raises(VerifyError, match=rf"{name} has shape \(3,\)") as error:
        neurons.output_shape((4,))

    assert error.value.node == "n"
