"""compare-in-pool keeps the largest of values that may be negative, without pooling them."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.ir.ann import Conv, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import run
from toolchain.passes.compare_in_pool import compare_in_pool
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain

CONTEXT = Context(target=TARGETS["loihi2"], levels=7, method="mmse", lowering="temporal")
RANDOM = np.random.default_rng(0)


def conv(name, outputs, inputs):
    return Conv(name=name, weight=RANDOM.integers(-3, 4, (outputs, inputs, 1, 1)))


def pooled(*nodes, kernel=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0))):
    pool = MaxPool(name="pool", kernel=kernel, stride=stride, padding=padding)
    return chain((2, 6, 6), conv("first", 3, 2), *nodes, pool, conv("last", 2, 3))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((2, 2), (2, 2), ((0, 0), (0, 0))),
        ((3, 3), (2, 1), ((0, 0), (0, 0))),
        ((1, 3), (1, 3), ((0, 0), (0, 0))),
        ((3, 3), (2, 2), ((1, 1), (1, 1))),
        ((3, 2), (3, 2), ((0, 2), (1, 0))),
        ((2, 3), (1, 1), ((1, 0), (2, 2))),
        ((5, 5), (1, 1), ((2, 2), (2, 2))),
        ((6, 6), (1, 1), ((0, 0), (0, 0))),
        ((4, 3), (2, 3), ((1, 0), (0, 2))),
    ],
)
def test_the_function_stays_and_no_pool_does(kernel, stride, padding):
    graph = pooled(kernel=kernel, stride=stride, padding=padding)
    x = RANDOM.integers(-4, 5, (3, 2, 6, 6))

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert not prepared.of_type(MaxPool)
    np.testing.assert_array_equal(run(prepared, x), run(graph, x))


def test_a_window_takes_one_comparison_fewer_than_it_has_values():
    compared = compare_in_pool(pooled(), CONTEXT)

    assert len(compared.of_type(Relu)) == 3
    assert compared.shapes["pool"] == (3, 3, 3)


def test_a_pool_behind_an_activation_is_left_alone():
    graph = pooled(Relu(name="relu"))

    assert compare_in_pool(graph, CONTEXT) is graph


@pytest.mark.parametrize("order", [None, np.arange(108)[::-1]])
def test_a_pool_of_rearranged_values_is_compared_too(order):
    graph = pooled(Rearrange(name="turned", shape=(3, 6, 6), order=order))
    x = RANDOM.integers(-4, 5, (3, 2, 6, 6))

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    assert not prepared.of_type(MaxPool)
    np.testing.assert_array_equal(run(prepared, x), run(graph, x))


def test_a_large_window_is_left_alone():
    graph = pooled(kernel=(1, 17), stride=(1, 1), padding=((0, 0), (8, 8)))

    assert compare_in_pool(graph, CONTEXT) is graph


def test_a_large_window_takes_as_many_comparisons_as_its_sides():
    compared = pooled(kernel=(4, 5), stride=(1, 1))
    while (after := compare_in_pool(compared, CONTEXT)) is not compared:
        compared = after

    assert len(compared.of_type(Relu)) == 3 + 4
