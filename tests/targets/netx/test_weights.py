"""Weights are loaded from a netx file with every change that the stock reader makes to them."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from targets.lava_compat import enable_netx
from targets.netx.weights import UnloadableWeightError, load_together
from toolchain.errors import MissingDependencyError


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    low = draw(st.sampled_from([-600, -300, -256, -129, -128, -3, 0, 1, 100]))
    high = draw(
        st.sampled_from([h for h in (-1, 0, 2, 127, 128, 254, 255, 300, 700) if h > low])
    )
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=4))
    weight = draw(arrays(np.int64, shape, elements=st.integers(low, high)))
    return weight * draw(st.sampled_from([1, 1, 2, 4, 64]))


@pytest.mark.parametrize(
    ("written", "loaded"),
    [
        ([[-256, 254]], [[-256, 254]]),
        ([[-127, 127]], [[-127, 127]]),
        ([[0, 255]], [[0, 255]]),
        ([[0, -128]], [[0, -64]]),
        ([[0, -255]], [[0, 0]]),
        ([[2, 256]], [[0, 0]]),
        ([[-2, 300]], [[-2, 254]]),
        ([[-256, -2]], [[-254, -2]]),
    ],
)
def test_a_matrix_comes_out_as_it_was_seen_to_in_the_stock_reader(written, loaded):
    (held,) = load_together(np.array(written))

    assert held.effective.tolist() == loaded


def test_an_all_zero_matrix_cannot_be_loaded():
    with pytest.raises(UnloadableWeightError):
        load_together(np.zeros((2, 3), np.int64))


@pytest.fixture(scope="module")
def stock():
    """Return the stock functions that load a matrix, as one."""
    try:
        enable_netx()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    def load(*parts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            shifted, bits, exponent, _ = optimize_weight_bits(np.hstack(parts))
        held = []
        for part in np.split(shifted, [parts[0].shape[1]], axis=1)[: len(parts)]:
            mode = determine_sign_mode(part)
            held.append(truncate_weights(clip_weights(part, mode, num_bits=8), mode, bits))
        return held, bits, exponent

    return load


@pytest.mark.lava
@settings(deadline=None)
@given(matrices(), st.integers(1, 3))
def test_every_matrix_comes_out_as_from_the_stock_functions(stock, weight, columns):
    assume(weight.any())
    parts = [part for part in np.split(weight, [columns], axis=1) if part.size]

    loaded = load_together(*parts)

    held, bits, exponent = stock(*parts)
    for ours, mantissa in zip(loaded, held, strict=True):
        np.testing.assert_array_equal(ours.mantissa, mantissa)
        assert (ours.exponent, ours.weight_bits) == (exponent, bits)
