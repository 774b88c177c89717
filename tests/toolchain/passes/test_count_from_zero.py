"""count-from-zero starts every staircase at 0 and keeps the function."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolchain.ir.ann import Dense
from toolchain.ir.reference import run
from toolchain.ir.staircase import Staircase
from toolchain.passes.count_from_zero import count_from_zero
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import chain

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")
X = np.random.default_rng(0).normal(size=(50, 3)) * 5
DENSE = Dense(name="dense", weight=np.random.default_rng(1).normal(size=(4, 3)))


@pytest.mark.parametrize("low", [-4, -3, 2])
@pytest.mark.parametrize("rounds_down", [False, True])
def test_steps_are_counted_from_the_lowest(low, rounds_down):
    stairs = Staircase(
        name="stairs", low=low, high=5, rounds_down=rounds_down, tensor="t", tensor_zero=7
    )
    graph = chain((3,), DENSE, stairs)

    counted = count_from_zero(graph, CONTEXT)

    (found,) = counted.of_type(Staircase)
    assert (found.low, found.high, found.tensor_zero) == (0, 5 - low, 7 + low)
    np.testing.assert_array_equal(run(counted, X), run(graph, X))


@pytest.mark.parametrize(("low", "high"), [(0, 5), (-math.inf, 5), (-3, math.inf)])
def test_what_starts_at_zero_or_has_no_limits_is_left(low, high):
    graph = chain((3,), DENSE, Staircase(name="stairs", low=low, high=high))

    assert count_from_zero(graph, CONTEXT) is graph


def test_twice_is_once():
    graph = chain((3,), DENSE, Staircase(name="stairs", low=-2, high=5))
    graph = count_from_zero(graph, CONTEXT)

    assert count_from_zero(graph, CONTEXT) is graph
