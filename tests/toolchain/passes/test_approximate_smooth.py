"""approximate-smooth changes an activation by no more than its pieces say, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir import curve
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Relu
from toolchain.ir.curve import X
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import run
from toolchain.ir.smooth import Smooth
from toolchain.passes.approximate_smooth import approximate_smooth
from toolchain.rewriting import Context, run_phase
from toolchain.straight_pieces import fit_pieces
from toolchain.target import TARGETS

CURVES = (X.then("tanh"), X.then("sigmoid"), curve.swish(), curve.gelu(), curve.elu(1.0))
POOL = {"kernel": (2, 2), "stride": (2, 2)}


def context(pieces=5):
    return Context(
        target=TARGETS["loihi2"], levels=15, method="mmse", lowering="temporal", pieces=pieces
    )


def network(activation, *, pool=None, groups=1, seed=0):
    """Return convolution, activation (with a pool before or behind it), and a dense layer."""
    random = np.random.default_rng(seed)
    first = random.normal(size=(4, 4 // groups, 3, 3))
    middle = [Smooth(name="act", inputs=("conv",), origin=("act",), curve=activation)]
    if pool == "before":
        middle = [
            MaxPool(name="pool", inputs=("conv",), **POOL),
            Smooth(name="act", inputs=("pool",), origin=("act",), curve=activation),
        ]
    if pool == "behind":
        middle.append(MaxPool(name="pool", inputs=("act",), **POOL))
    size = (3, 3) if pool else (6, 6)
    last = random.normal(size=(3, 4, *size))
    nodes = (
        Input(name="x", shape=(4, 6, 6), source_shape=(4, 6, 6)),
        Conv(
            name="conv",
            inputs=("x",),
            weight=first,
            bias=random.normal(size=(4, 1, 1)),
            padding=((1, 1), (1, 1)),
            groups=groups,
        ),
        *middle,
        Conv(name="last", inputs=(middle[-1].name,), weight=last),
        Output(name="y", inputs=("last",), shape=(3, 1, 1)),
    )
    return Graph("net", nodes), np.abs(last).sum(axis=(1, 2, 3))


@given(
    activation=st.sampled_from(CURVES),
    pool=st.sampled_from([None, "before", "behind"]),
    groups=st.sampled_from([1, 2, 4]),
    pieces=st.integers(4, 8),
    seed=st.integers(0, 99),
)
def test_outputs_change_by_no_more_than_the_stated_error_through_the_weights(
    activation, pool, groups, pieces, seed
):
    graph, weights = network(activation, pool=pool, groups=groups, seed=seed)
    x = 2 * np.random.default_rng(seed).normal(size=(3, 4, 6, 6))

    changed = approximate_smooth(graph, context(pieces))

    off = np.abs(run(changed, x) - run(graph, x)).reshape(3, -1).max(axis=0)
    assert np.all(off <= fit_pieces(activation, pieces).error * weights + 1e-9)
    assert not changed.of_type(Smooth)


def test_only_one_layer_of_a_sum_is_shifted_to_where_pieces_start():
    graph, weights = network(X.then("tanh"))
    other = Conv(name="other", inputs=("x",), weight=np.ones((4, 4, 1, 1)))
    total = Add(name="total", inputs=("conv", "other"))
    act = dataclasses.replace(graph["act"], inputs=("total",))
    graph = graph.insert_behind("conv", other, total).swap(act)
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 6))

    changed = approximate_smooth(graph, context())

    off = np.abs(run(changed, x) - run(graph, x)).reshape(3, -1).max(axis=0)
    assert np.all(off <= fit_pieces(X.then("tanh"), 5).error * weights + 1e-9)
    assert not changed.of_type(Smooth)


@pytest.mark.parametrize("pool", [None, "before", "behind"])
def test_an_activation_becomes_one_population_of_all_pieces(pool):
    graph, _ = network(X.then("tanh"), pool=pool)

    changed = approximate_smooth(graph, context(4))

    (relu,) = changed.of_type(Relu)
    assert relu.name == "act"
    assert relu.maximum.shape == (16, 1, 1)
    assert changed.shapes["act"] == (16, 6, 6)
    assert len(changed.of_type(Conv)) == (3 if pool else 2)


def test_networks_without_smooth_activations_are_the_same_object():
    graph, _ = network(X.then("tanh"))
    changed = approximate_smooth(graph, context())

    assert approximate_smooth(changed, context()) is changed


def test_an_activation_that_no_layer_feeds_waits_for_one():
    nodes = (
        Input(name="x", shape=(4,), source_shape=(4,)),
        Smooth(name="act", inputs=("x",), curve=X.then("tanh")),
        Dense(name="last", inputs=("act",), weight=np.ones((2, 4))),
        Output(name="y", inputs=("last",), shape=(2,)),
    )
    graph = Graph("net", nodes)

    assert approximate_smooth(graph, context()) is graph
    *_, (_, prepared) = run_phase(graph, Phase.PREPARE, context())
    assert prepared.shapes["act"] == (16,)


def test_what_is_exact_comes_before():
    graph, _ = network(curve.swish(), pool="before")
    exact = graph

    for name, after in run_phase(graph, Phase.PREPARE, context()):
        if name == "approximate-smooth":
            break
        exact = after

    x = np.random.default_rng(0).normal(size=(2, 4, 6, 6))
    np.testing.assert_allclose(run(exact, x), run(graph, x), rtol=1e-9, atol=1e-9)
    assert exact.of_type(Smooth)


def test_a_function_that_becomes_no_line_is_refused_by_name():
    graph, _ = network(X.times(X))

    with pytest.raises(ConversionError) as error:
        approximate_smooth(graph, context())

    assert error.value.node == "act"
    assert error.value.problem == "computes x * x, which does not become a line on both sides"


def test_a_function_that_is_a_constant_is_refused_by_name():
    graph, _ = network(X.scaled(0.0, 2.0).then("exp"))

    with pytest.raises(ConversionError, match=r"is 7\.389 whatever it is given") as error:
        approximate_smooth(graph, context())

    assert error.value.node == "act"


def test_a_pool_before_a_function_that_falls_without_end_is_refused_by_name():
    graph, _ = network(X.plus(curve.swish()), pool="before")

    with pytest.raises(ConversionError, match="falls without end on the left") as error:
        approximate_smooth(graph, context())

    assert error.value.node == "act"
