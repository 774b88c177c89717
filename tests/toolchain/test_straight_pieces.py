"""Straight pieces are nowhere further from their function than they say, and few are enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ir import curve
from toolchain.ir.curve import X
from toolchain.straight_pieces import (
    PIECES_MAX,
    PIECES_MIN,
    becomes_lines,
    fit_pieces,
    never_falls,
)

CURVES = {
    "sigmoid": X.then("sigmoid"),
    "tanh": X.then("tanh"),
    "erf": X.then("erf"),
    "softplus": X.then("softplus"),
    "softsign": X.then("softsign"),
    "elu": curve.elu(1.5),
    "silu": curve.swish(),
    "quick gelu": curve.swish(1.702),
    "gelu": curve.gelu(),
    "gelu by tanh": curve.gelu_by_tanh(),
    "mish": curve.mish(),
    "hard swish": curve.hard_swish(),
    "logarithm of sigmoid": X.scaled(-1.0).then("softplus").scaled(-1.0),
    "a level at both ends": X.then("tanh").then("exp"),
    "a level at the left": X.then("softplus").then("tanh").scaled(1.0, 0.5),
    "tanh shrink": X.plus(X.then("tanh").scaled(-1.0)),
}
ENDLESS = {
    "square": X.times(X),
    "exponential": X.then("exp"),
    "logarithm": X.then("log"),
    "root": X.then("sqrt"),
    "logarithm of a square": X.times(X).scaled(1.0, 1.0).then("log"),
    "reciprocal": X.then("reciprocal"),
    "pole": X.scaled(1.0, -0.3).then("reciprocal"),
    "cube": X.then("power", 3.0),
}
GRID = np.linspace(-60, 60, 7001)


@given(
    name=st.sampled_from(list(CURVES)),
    most=st.integers(PIECES_MIN, 12),
    x=st.floats(-1e6, 1e6) | st.floats(-20, 20),
)
def test_no_value_is_further_off_than_stated(name, most, x):
    pieces = fit_pieces(CURVES[name], most)

    off = abs(float(pieces(np.array(x)) - CURVES[name](np.array(x))))

    assert off <= max(pieces.error, 1e-4) + 1e-9 * abs(x)


@pytest.mark.parametrize("name", CURVES)
def test_pieces_are_no_more_than_asked_for_and_no_worse_if_more(name):
    fits = [fit_pieces(CURVES[name], most) for most in (4, 5, 6, 8, 12, PIECES_MAX)]

    assert all(
        len(fit.pieces) <= most for fit, most in zip(fits, (4, 5, 6, 8, 12, 99), strict=True)
    )
    errors = [fit.error for fit in fits]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.005


@pytest.mark.parametrize(
    ("name", "most", "error"),
    [("tanh", 4, 0.036), ("sigmoid", 3, 0.018), ("gelu", 5, 0.017), ("silu", 5, 0.025)],
)
def test_few_are_enough(name, most, error):
    assert fit_pieces(CURVES[name], most).error < error


@pytest.mark.parametrize("name", ["tanh", "softsign", "elu", "erf", "tanh shrink"])
def test_zero_is_silence_where_the_function_is_zero_there(name):
    pieces = fit_pieces(CURVES[name], 6)

    assert all(piece.start >= 0 for piece in pieces.pieces)
    assert pieces.constant == 0


@pytest.mark.parametrize("name", [*CURVES])
def test_turned_to_rise_they_are_the_same_function(name):
    pieces = fit_pieces(CURVES[name], 6)

    rising = pieces.rising()

    if CURVES[name](np.array(-100.0)) < -50:
        assert rising is None
    else:
        assert all(piece.direction == 1 for piece in rising.pieces)
        np.testing.assert_allclose(rising(GRID), pieces(GRID), atol=1e-9)


def test_a_function_of_straight_pieces_is_exact():
    limited = X.scaled(0.2, 0.5).then("clip", 0.0, 1.0)

    pieces = fit_pieces(limited, 4)

    np.testing.assert_allclose(pieces(GRID), limited(GRID), atol=1e-4)
    assert len(pieces.pieces) == 1


def test_a_line_behind_the_last_piece_goes_on_without_end():
    pieces = fit_pieces(CURVES["softplus"], 4)

    assert [math.isinf(piece.width) for piece in pieces.pieces] == [False] * 3 + [True]


@pytest.mark.parametrize("name", ENDLESS)
def test_what_becomes_no_line_has_no_pieces(name):
    assert fit_pieces(ENDLESS[name], 8) is None
    assert not becomes_lines(ENDLESS[name])


@pytest.mark.parametrize("name", CURVES)
def test_a_function_that_falls_is_known_to(name):
    falls = name in ("silu", "quick gelu", "gelu", "gelu by tanh", "mish", "hard swish")

    assert becomes_lines(CURVES[name])
    assert never_falls(CURVES[name]) != falls
