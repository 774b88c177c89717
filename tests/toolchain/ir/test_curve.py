"""A curve is what nodes compute of one value, whatever they are called and however nested."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from toolchain.ir import curve
from toolchain.ir.curve import Curve, X

POINTS = np.linspace(-12, 12, 97)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (curve.swish(1.7), POINTS * special.expit(1.7 * POINTS)),
        (curve.gelu(), POINTS * special.ndtr(POINTS)),
        (curve.mish(), POINTS * np.tanh(np.log1p(np.exp(POINTS)))),
        (curve.hard_swish(), POINTS * np.clip(POINTS + 3, 0, 6) / 6),
        (curve.elu(1.5), np.where(POINTS > 0, POINTS, 1.5 * np.expm1(POINTS))),
        (curve.celu(0.5), np.where(POINTS > 0, POINTS, 0.5 * np.expm1(POINTS / 0.5))),
    ],
    ids=["swish", "gelu", "mish", "hard swish", "elu", "celu"],
)
def test_an_activation_has_its_values(made, wanted):
    np.testing.assert_allclose(made(POINTS), wanted, rtol=1e-12, atol=1e-12)


def test_both_spellings_of_gelu_are_close():
    off = curve.gelu()(POINTS) - curve.gelu_by_tanh()(POINTS)

    assert 0 < np.abs(off).max() < 1e-3


def test_a_curve_of_a_curve_is_their_composition():
    outer, inner = curve.swish(), X.scaled(-2.0, 0.5).then("tanh")

    np.testing.assert_array_equal(outer.of(inner)(POINTS), outer(inner(POINTS)))


def test_lines_of_lines_are_one_line():
    assert X.scaled(2.0, 1.0).scaled(-3.0, 0.5) == X.scaled(-6.0, -2.5)
    assert X.scaled(2.0).scaled(0.5).scaled(1.0) == X


def test_the_logarithm_of_one_more_than_an_exponential_does_not_overflow():
    spelled = X.then("exp").scaled(1.0, 1.0).then("log")

    assert spelled(np.array([1e4])) == 1e4
    assert X.then("log").of(X.then("exp").scaled(1.0, 1.0)) == spelled


def test_equal_curves_are_one_key():
    assert {curve.gelu(): 1}[curve.gelu()] == 1
    assert curve.gelu() != curve.gelu_by_tanh()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (curve.swish(), "x * sigmoid(x)"),
        (curve.gelu(), "0.5 * x * (erf(0.7071 * x) + 1)"),
        (X.then("tanh").scaled(1.0, -2.0), "(tanh(x) - 2)"),
        (X.plus(X.then("power", 3.0)), "(x + power(x, 3))"),
    ],
)
def test_it_is_shown_as_a_formula(made, text):
    assert str(made) == text


def test_only_a_function_of_the_variable_itself_is_elementary():
    assert X.then("tanh").is_elementary
    assert not X.scaled(2.0).then("tanh").is_elementary
    assert not X.then("power", 2.0).is_elementary
    assert not Curve().is_elementary
