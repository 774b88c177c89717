"""Convolution and windows equal the plain sums that define them, for every geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir import convolution
from toolchain.ir.convolution import convolve, largest_in_windows, output_size, windows


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": draw(
            st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
        ),
        "dilation": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "size": tuple(draw(st.integers(7, 9)) for _ in kernel),
    }


def padded(x, padding, fill=0):
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)


def plain_convolution(x, weight, stride, padding, dilation, groups):
    """The definition, one product at a time."""
    x = padded(x, padding)
    outputs, per_group, rows, columns = weight.shape
    height = (x.shape[2] - dilation[0] * (rows - 1) - 1) // stride[0] + 1
    width = (x.shape[3] - dilation[1] * (columns - 1) - 1) // stride[1] + 1
    y = np.zeros((len(x), outputs, height, width), x.dtype)
    for b, o, i, j in np.ndindex(*y.shape):
        first = o // (outputs // groups) * per_group
        for c, k, m in np.ndindex(per_group, rows, columns):
            row, column = i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]
            y[b, o, i, j] += weight[o, c, k, m] * x[b, first + c, row, column]
    return y


@given(
    geometries(),
    st.sampled_from([(1, 1, 2), (2, 2, 2), (2, 1, 1), (2, 1, 2), (3, 1, 1)]),
    st.integers(0, 2**32 - 1),
)
def test_a_convolution_is_its_sum(geometry, channels, seed):
    groups, per_group_in, per_group_out = channels
    numbers = np.random.default_rng(seed)
    x = numbers.integers(-9, 10, (2, groups * per_group_in, *geometry["size"]))
    shape = (groups * per_group_out, per_group_in, *geometry["kernel"])
    weight = numbers.integers(-9, 10, shape)
    rest = (geometry["stride"], geometry["padding"], geometry["dilation"], groups)

    found = convolve(x, weight, *rest)

    np.testing.assert_array_equal(found, plain_convolution(x, weight, *rest))


@given(geometries())
def test_the_output_size_is_that_of_the_output(geometry):
    size = geometry.pop("size")

    found = output_size(size, **geometry)

    x = np.zeros((1, 1, *size))
    kernel = geometry.pop("kernel")
    assert convolve(x, np.zeros((1, 1, *kernel)), **geometry).shape[2:] == found


@given(geometries(), st.sampled_from([False, -np.inf, -7, 7]), st.integers(0, 2**32 - 1))
def test_the_largest_in_windows_is_that_of_the_patches(geometry, fill, seed):
    del geometry["dilation"]
    x = np.random.default_rng(seed).integers(-3, 4, (2, 3, *geometry.pop("size")))
    x = x > 1 if fill is False else np.where(abs(x) == 3, np.copysign(np.inf, x), x)

    found = largest_in_windows(x, **geometry, fill=fill)

    wanted = windows(x, **geometry, fill=fill).max(axis=(4, 5))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype


def test_the_largest_in_windows_may_be_written_to():
    x = np.zeros((1, 1, 2, 2))

    largest_in_windows(x, (1, 1))[:] = 1

    assert not x.any()


@given(geometries(), st.sampled_from([0, -np.inf, 7]))
def test_windows_are_patches_of_the_padded_input(geometry, fill):
    x = np.random.default_rng(0).normal(size=(2, 3, *geometry["size"]))

    found = windows(
        x,
        geometry["kernel"],
        geometry["stride"],
        geometry["padding"],
        geometry["dilation"],
        fill,
    )

    wide = padded(x, geometry["padding"], fill)
    for i, j, k, m in np.ndindex(*found.shape[2:]):
        row = i * geometry["stride"][0] + k * geometry["dilation"][0]
        column = j * geometry["stride"][1] + m * geometry["dilation"][1]
        np.testing.assert_array_equal(found[:, :, i, j, k, m], wide[:, :, row, column])


def test_more_channels_than_patches_make_no_difference():
    numbers = np.random.default_rng(0)
    x = numbers.integers(-9, 10, (2, 4, 3, 3))
    weight = numbers.integers(-9, 10, (36, 2, 2, 3))
    rest = ((2, 1), ((0, 1), (1, 0)), (1, 1), 2)

    found = convolve(x, weight, *rest)

    assert found[:, 0].size <= len(weight) // 2
    np.testing.assert_array_equal(found, plain_convolution(x, weight, *rest))


def test_windows_cannot_be_written_to():
    found = windows(np.zeros((1, 1, 3, 3)), (2, 2))

    assert not found.flags.writeable


def test_the_input_is_left_alone():
    x = np.arange(18.0).reshape(1, 2, 3, 3)
    before = x.copy()

    convolve(x, np.ones((2, 2, 2, 2)), padding=((1, 1), (1, 1)))

    np.testing.assert_array_equal(x, before)


def test_a_batch_of_several_blocks_equals_its_samples(monkeypatch):
    numbers = np.random.default_rng(0)
    x = numbers.integers(-9, 10, (7, 4, 5, 5))
    weight = numbers.integers(-9, 10, (6, 2, 3, 3))
    whole = convolve(x, weight, groups=2)
    monkeypatch.setattr(convolution, "_BLOCK_BYTES", 3000)

    found = convolve(x, weight, groups=2)

    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_channels_of_the_result_are_last_in_memory(groups):
    found = convolve(np.ones((2, 2, 5, 5)), np.ones((4, 2 // groups, 3, 3)), groups=groups)

    assert found.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_the_type_of_the_numbers_is_kept(dtype):
    found = convolve(np.ones((1, 1, 3, 3), dtype), np.ones((1, 1, 2, 2), dtype))

    assert found.dtype == dtype
