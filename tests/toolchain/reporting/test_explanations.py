"""Every error can be explained: what it means, why it is so, and what to do."""

from __future__ import annotations

import pytest

from toolchain.errors import UnknownNameError
from toolchain.reporting.explanations import explanation_of, explanations

EXPLANATIONS = explanations()


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda e: e.code)
def test_an_error_says_what_it_means_why_and_the_ways_out(explanation):
    assert explanation.code != "SNN-COMPILE"
    assert explanation.meaning.endswith(".")
    assert explanation.why.endswith(".")
    assert explanation.ways_out
    assert all(way.endswith(".") for way in explanation.ways_out)


def test_codes_are_unique_across_both_packages():
    codes = [explanation.code for explanation in EXPLANATIONS]

    assert len(set(codes)) == len(codes)
    assert {"SNN-RANGE", "SNN-LAVA"} <= set(codes)


def test_the_text_fits_a_terminal():
    lines = [line for e in EXPLANATIONS for line in e.text.splitlines()]

    assert max(map(len, lines)) <= 80


def test_a_code_may_be_in_small_letters():
    assert explanation_of("snn-range").code == "SNN-RANGE"


def test_an_unknown_code_is_answered_with_a_guess():
    with pytest.raises(UnknownNameError) as error:
        explanation_of("SNN-RANG")

    assert error.value.hint == "did you mean 'SNN-RANGE'?"
