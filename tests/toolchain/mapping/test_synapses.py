"""Synapses do in the chip's terms what layers and pools do, and hold only legal mantissas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.fixedpoint import shift
from toolchain.ir.ann import Conv, Dense, Rearrange
from toolchain.ir.convolution import convolve
from toolchain.ir.mapped import ConvSynapse
from toolchain.ir.reference import compute
from toolchain.ir.snn import OrPool
from toolchain.mapping._synapses import (
    Copies,
    in_digits,
    layer_synapses,
    mantissas,
    pool_synapse,
    relay_synapse,
    self_inhibition,
    spread,
)
from toolchain.target import TARGETS

TARGET = TARGETS["loihi2"]
LARGEST_THRESHOLD = TARGET.weight_max << TARGET.weight_exponent.value

weights = arrays(np.int64, (3, 4), elements=st.integers(-127, 127))


def numbers(*shape, low=-127, high=128):
    return np.random.default_rng(0).integers(low, high, shape)


def is_legal(mantissa):
    """Say the chip's rule: one sign within 8 bits, or both signs, even, within 9."""
    if mantissa.min() < 0 < mantissa.max():
        return mantissa.min() >= -256 and mantissa.max() <= 254 and not np.any(mantissa % 2)
    return np.abs(mantissa).max() <= 255


def delivered(synapse, spikes):
    """Return what a synapse delivers for ``(batch, *shape)`` spikes."""
    if isinstance(synapse, ConvSynapse):
        (rows, columns) = synapse.padding
        return convolve(
            spikes,
            synapse.weight,
            synapse.stride,
            ((rows, rows), (columns, columns)),
            synapse.dilation,
            synapse.groups,
        )
    sums = spikes.reshape(len(spikes), -1) @ np.asarray(synapse.weight).T
    return shift(sums, synapse.weight_exponent)


def over_copies(counts, copies):
    """Return spikes of copies, next to each other on the channel axis, the first n spiking."""
    train = np.arange(copies)[:, None] < counts.reshape(*counts.shape[:2], 1, -1)
    return train.reshape(len(counts), -1, *counts.shape[2:]).astype(np.int64)


@given(weights)
def test_mantissas_are_legal_and_deliver_the_weights(weight):
    mantissa, exponent = mantissas(weight)
    spikes = numbers(5, 4, low=-9, high=10)

    assert is_legal(mantissa)
    np.testing.assert_array_equal(shift(spikes @ mantissa.T, exponent), spikes @ weight.T)


@given(arrays(np.int64, 6, elements=st.integers(-(2**20), 2**20)))
def test_digits_add_up(values):
    digits = spread(values)

    assert max(int(np.abs(digit).max()) for digit in digits) <= 127
    total = sum(digit << (7 * place) for place, digit in enumerate(digits))
    np.testing.assert_array_equal(total, values)


def test_nothing_has_one_digit():
    assert [digit.tolist() for digit in spread(np.zeros(2, np.int64))] == [[0, 0]]


thresholds = arrays(np.int64, 5, elements=st.integers(1, LARGEST_THRESHOLD))


@given(thresholds, st.integers(0, 10))
def test_a_neuron_inhibits_itself_by_its_threshold(threshold, places):
    threshold = np.maximum(threshold >> places << places, 1)

    synapses = self_inhibition("n", threshold)

    total = sum(synapse.weight.toarray() << synapse.weight_exponent for synapse in synapses)
    np.testing.assert_array_equal(total, np.diag(-threshold))


@given(thresholds, st.integers(0, 13))
def test_inhibition_is_legal(threshold, places):
    threshold = np.maximum(threshold >> places << places, 1)

    for synapse in self_inhibition("n", threshold):
        assert is_legal(synapse.weight.toarray())
        assert 0 <= synapse.weight_exponent <= TARGET.weight_exponent.value
        assert (synapse.source, synapse.target) == ("n", "n")
        assert isinstance(synapse.weight, scipy.sparse.csr_matrix)


@pytest.mark.parametrize(
    ("threshold", "exponents"),
    [
        ([1, 127], [0]),
        ([128, 254], [1]),
        ([16256, 8192], [7]),
        ([8192], [7]),
        ([128, 255], [0, 7]),
    ],
)
def test_one_synapse_inhibits_where_one_can(threshold, exponents):
    synapses = self_inhibition("n", np.array(threshold))

    assert [synapse.weight_exponent for synapse in synapses] == exponents


@pytest.mark.parametrize("source", [1, 3])
@pytest.mark.parametrize("target", [1, 2])
@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
def test_a_dense_layer_reads_all_copies(source, target, shape):
    layer = Dense(name="d", weight=numbers(4, 6))
    counts = numbers(5, *shape, low=0, high=source + 1)

    (synapse,) = layer_synapses(layer, "a", "b", shape, Copies(source, target), TARGET)

    found = delivered(synapse, over_copies(counts, source))
    wanted = counts.reshape(5, -1) @ layer.weight.T
    np.testing.assert_array_equal(found, np.repeat(wanted, target, axis=1))
    assert is_legal(synapse.weight)


PADDINGS = [((0, 0), (0, 0)), ((1, 1), (0, 0)), ((1, 0), (0, 2)), ((0, 3), (1, 1))]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("source", "target"), [(1, 1), (3, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (2, 1))])
def test_a_convolution_reads_all_copies(groups, padding, source, target, stride, dilation):
    layer = Conv(
        name="c",
        weight=numbers(4, 2 // groups, 2, 3),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    counts = numbers(3, 2, 5, 6, low=0, high=source + 1)

    (synapse,) = layer_synapses(layer, "a", "b", (2, 5, 6), Copies(source, target), TARGET)

    found = delivered(synapse, over_copies(counts, source))
    wanted = compute(layer, counts)
    np.testing.assert_array_equal(found, np.repeat(wanted, target, axis=1))


def test_a_convolution_with_equal_padding_keeps_its_kernel():
    layer = Conv(
        name="c", weight=numbers(2, 2, 3, 3), padding=((1, 1), (2, 2)), dilation=(2, 1)
    )

    (synapse,) = layer_synapses(layer, "a", "b", (2, 5, 6), Copies(), TARGET)

    np.testing.assert_array_equal(synapse.weight, layer.weight)
    assert (synapse.padding, synapse.dilation) == ((1, 2), (2, 1))


@pytest.mark.parametrize("channels", [1, 6, 127, 128, 131, 254])
def test_a_pool_sums_the_windows_of_each_channel(channels):
    pool = OrPool(
        name="p", inputs=("a",), kernel=(2, 3), stride=(1, 2), padding=((1, 0), (0, 1))
    )
    spikes = numbers(2, channels, 3, 4, low=0, high=2)

    synapse = pool_synapse(pool, "a", channels, TARGET, np.ones((2, 3), int))

    assert synapse.groups <= TARGET.convolution_groups.value
    has_spiked = delivered(synapse, spikes) > 0
    padded = np.pad(spikes, ((0, 0), (0, 0), (1, 0), (0, 1)))
    for i, j in np.ndindex(*has_spiked.shape[2:]):
        wanted = padded[:, :, i : i + 2, 2 * j : 2 * j + 3].any(axis=(2, 3))
        np.testing.assert_array_equal(has_spiked[:, :, i, j], wanted)


@pytest.mark.parametrize(("groups", "per_group"), [(128, 1), (130, 2), (131, 1)])
def test_a_layer_has_no_more_groups_than_the_target(groups, per_group):
    layer = Conv(name="c", weight=numbers(2 * groups, per_group, 2, 2), groups=groups)
    counts = numbers(2, groups * per_group, 3, 3, low=0, high=4)

    (synapse,) = layer_synapses(layer, "a", "b", counts.shape[1:], Copies(), TARGET)

    assert synapse.groups <= TARGET.convolution_groups.value
    np.testing.assert_array_equal(delivered(synapse, counts), compute(layer, counts))


@given(arrays(np.int64, (4, 3), elements=st.integers(-(2**20), 2**20)))
def test_digits_add_up_to_weights_of_any_size(amount):
    synapses = in_digits("skip", "a", "b", scipy.sparse.csr_matrix(amount))

    total = np.zeros((4, 3), np.int64)
    for synapse in synapses:
        assert is_legal(synapse.weight.data)
        doubled = synapse.weight.toarray() << (synapse.weight_exponent + 1)
        assert not np.any(doubled % 2)
        total += doubled // 2
    np.testing.assert_array_equal(total, amount)


def test_a_power_of_two_is_one_digit():
    amount = scipy.sparse.csr_matrix(np.array([[3 << 9, 0], [0, 127 << 9]]))

    (synapse,) = in_digits("skip", "a", "b", amount)

    assert (synapse.name, synapse.weight_exponent) == ("skip0", 9)


def test_nothing_is_no_synapse():
    assert in_digits("skip", "a", "b", scipy.sparse.csr_matrix((2, 2))) == ()


@pytest.mark.parametrize("copies", [Copies(), Copies(2, 3)])
@pytest.mark.parametrize("reads", [1, 2])
def test_a_skip_is_spread_over_digits(reads, copies):
    """Its few weights may be larger than any that a kernel holds."""
    weight = numbers(4, reads, 1, 1, low=-100_000, high=100_000)
    layer = Conv(name="skip", weight=weight, groups=4)
    shape = (4 * reads, 2, 3)
    spikes = numbers(2, shape[0], copies.source, 2, 3, low=0, high=2)

    synapses = layer_synapses(layer, "a", "b", shape, copies, TARGET)

    assert len(synapses) > 1
    assert all(is_legal(synapse.weight.data) for synapse in synapses)
    flat = spikes.reshape(2, -1)
    sums = sum(shift(flat @ s.weight.T.toarray(), s.weight_exponent) for s in synapses)
    wanted = compute(layer, spikes.sum(2))
    got = sums.reshape(2, 4, copies.target, 2, 3)
    for copy in range(copies.target):
        np.testing.assert_array_equal(got[:, :, copy], wanted)


@pytest.mark.parametrize("copies", [1, 3])
def test_a_relay_repeats_the_same_copy_of_what_it_reads(copies):
    order = np.array([[[5, -1], [0, 0]], [[3, 2], [1, 4]], [[-1, -1], [5, 5]]])
    node = Rearrange(name="r", shape=(3, 2, 2), order=order.ravel())
    spikes = numbers(2, 2, copies, 3, low=0, high=2)

    synapse = relay_synapse(node, "a", (2, 3), order.ravel(), copies)

    got = (spikes.reshape(2, -1) @ synapse.weight.T.toarray()).reshape(2, 3, copies, 2, 2)
    for copy in range(copies):
        values = spikes[:, :, copy].reshape(2, -1)
        wanted = np.where(order < 0, 0, values[:, order])
        np.testing.assert_array_equal(got[:, :, copy], wanted)
