"""The radix lowering gives every number in its window, whatever joins what and however late."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples, run_stream
from toolchain.errors import CapacityError
from toolchain.ir.ann import Add, Conv, Dense, Encoding, Input, MaxPool, Output, Rearrange
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.mapped import Window
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.reference import encode, evaluate
from toolchain.ir.snn import RadixFire, RadixPool, Spiking
from toolchain.mapping.radix import map_radix, shifted_layers
from toolchain.target import TARGETS

TARGET = TARGETS["loihi2"]


def whole(seed, *shape, most=9):
    return np.random.default_rng(seed).integers(-most, most + 1, shape)


def entry(*shape, low=0, high=15):
    encoding = Encoding(1.0, low, high)
    return Input(name="x", shape=shape, source_shape=shape, encoding=encoding)


def dense(name, source, rows, columns, seed=0):
    """A layer before neurons; those before the output have no bias, which is the host's."""
    weight, bias = whole(seed, rows, columns), whole(seed + 1, rows, most=40)
    return Dense(name=name, inputs=(source,), weight=weight, bias=bias)


def last(name, source, rows, columns, seed=0):
    weight = whole(seed, rows, columns)
    return Dense(name=name, inputs=(source,), weight=weight, bias=np.zeros((), int))


def fire(name, source, levels, threshold=7, shape=(5,)):
    return RadixFire(
        name=name,
        inputs=(source,),
        levels=levels,
        threshold=np.full(shape, threshold),
        initial=np.full(shape, threshold // 2),
        low=np.asarray([0]),
        high=np.asarray([0]),
    )


def output(source, *shape):
    return Output(name="y", inputs=(source,), shape=shape, tensor="y")


def graph_of(*nodes):
    return Graph("net", nodes).at_phase(Phase.QUANTIZE)


def residual(*levels):
    """Three layers in a row, whose inputs skip to the output past one and two of them."""
    first, second, third = levels
    return graph_of(
        entry(4),
        dense("a", "x", 5, 4),
        fire("p", "a", first),
        dense("b", "p", 5, 5, seed=3),
        fire("q", "b", second),
        dense("c", "q", 5, 5, seed=5),
        dense("skip", "p", 5, 5, seed=7),
        Add(name="sum", inputs=("c", "skip")),
        fire("r", "sum", third),
        last("d", "r", 3, 5, seed=9),
        last("over", "q", 3, 5, seed=11),
        last("far", "p", 3, 5, seed=13),
        Add(name="all", inputs=("d", "over", "far")),
        output("all", 3),
    )


def check(graph, samples=16, seed=0):
    """Compare the circuit with the reference, samples by themselves and in a row."""
    circuit = map_radix(graph, TARGET)
    code = graph.input.encoding
    numbers = np.random.default_rng(seed)
    x = numbers.integers(code.low, code.high + 1, (samples, *graph.input.shape))
    values = evaluate(graph, x)
    inputs = encode(graph.input, x).astype(np.int64)

    for result in (run_samples(circuit, inputs), run_stream(circuit, inputs)):
        for node in graph:
            if isinstance(node, Spiking | MaxPool):
                np.testing.assert_array_equal(
                    result.counts[node.name], values[node.name].counts, err_msg=node.name
                )
        np.testing.assert_array_equal(result.readout, values[graph.output.inputs[0]])
        assert not any(wraps.any() for wraps in result.activity.wraps.values())
    assert all(values[n.name].counts.max() > 0 for n in graph.of_type(Spiking))
    return circuit


@pytest.mark.parametrize("levels", [(15, 15, 15), (1, 1, 1), (255, 15, 3), (3, 15, 200)])
def test_branches_of_any_length_and_number_of_places_join(levels):
    check(residual(*levels))


def test_a_number_waits_a_whole_window_in_neurons_of_its_own():
    circuit = check(residual(15, 15, 15))

    stored = [p for p in circuit.populations if p.name.endswith("/stored")]
    assert [p.name for p in stored] == ["p/stored", "q/stored", "p/stored/stored"]
    assert all(p.places == 4 and p.threshold == 1 for p in stored)


def test_a_new_sample_may_follow_after_as_many_steps_as_there_are_places():
    circuit = map_radix(residual(255, 15, 3), TARGET)

    assert (circuit.period, circuit.latency) == (8, 1 + 8 + 4 + 2 + 1)
    assert circuit.windows["p"] == Window(1, 8, is_radix=True)
    assert circuit.windows["q"] == Window(9, 4, is_radix=True)
    assert circuit.windows["r"] == Window(13, 2, is_radix=True)
    assert {p.interval for p in circuit.populations if isinstance(p, Radix)} == {8}


def pooled(kernel, stride, padding, *, levels=15, size=(9, 10)):
    pool = RadixPool(name="pool", inputs=("p",), kernel=kernel, stride=stride, padding=padding)
    convolved = Conv(
        name="a", inputs=("x",), weight=whole(1, 3, 1, 3, 3), bias=whole(2, 3, 1, 1)
    )
    shape = pool.output_shape(convolved.output_shape((1, *size)))
    columns = int(np.prod(shape))
    flat = Rearrange(name="flat", inputs=("pool",), shape=(columns,))
    return graph_of(
        entry(1, *size),
        convolved,
        fire("p", "a", levels, threshold=20, shape=(3, 1, 1)),
        pool,
        flat,
        last("last", "flat", 2, columns, seed=4),
        output("last", 2),
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "populations"),
    [
        ((2, 2), (2, 2), ((0, 0), (0, 0)), 1),
        ((1, 7), (1, 2), ((0, 0), (3, 2)), 1),
        ((3, 3), (2, 1), ((1, 0), (0, 1)), 2),
        ((8, 1), (1, 2), ((2, 3), (0, 0)), 3),
        ((7, 8), (3, 2), ((3, 3), (1, 4)), 3),
        ((1, 8), (2, 1), ((0, 0), (0, 0)), 3),
    ],
)
def test_a_pool_gives_the_largest_number_of_its_window(kernel, stride, padding, populations):
    circuit = check(pooled(kernel, stride, padding))

    assert sum(isinstance(p, RadixMax) for p in circuit.populations) == populations


@given(
    kernel=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    levels=st.sampled_from([1, 3, 12, 255]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_pools_of_any_size_are_exact(kernel, stride, levels, seed):
    check(pooled(kernel, stride, ((0, 0), (0, 0)), levels=levels, size=(11, 12)), 4, seed)


def test_a_pool_in_one_branch_delays_the_other():
    block = graph_of(
        entry(2, 4, 4),
        Conv(name="a", inputs=("x",), weight=whole(0, 3, 2, 1, 1)),
        fire("p", "a", 15, threshold=9, shape=(3, 1, 1)),
        RadixPool(
            name="pool",
            inputs=("p",),
            kernel=(3, 3),
            stride=(1, 1),
            padding=((1, 1), (1, 1)),
        ),
        Conv(name="b", inputs=("pool",), weight=whole(1, 2, 3, 1, 1)),
        Conv(name="c", inputs=("p",), weight=whole(2, 2, 3, 1, 1)),
        Add(name="sum", inputs=("b", "c")),
        fire("q", "sum", 15, threshold=30, shape=(2, 1, 1)),
        Rearrange(name="flat", inputs=("q",), shape=(32,)),
        last("last", "flat", 2, 32),
        output("last", 2),
    )

    circuit = check(block)

    assert [p.name for p in circuit.populations if "/later" in p.name] == [
        "p/later1",
        "p/later2",
    ]


def with_skip_from_input(high, levels, low=0):
    return graph_of(
        entry(4, low=low, high=high),
        dense("a", "x", 5, 4),
        fire("p", "a", levels, threshold=max(high // 2, 1)),
        last("b", "p", 3, 5, seed=3),
        last("c", "x", 3, 4, seed=5),
        Add(name="sum", inputs=("b", "c")),
        output("sum", 3),
    )


@pytest.mark.parametrize(
    ("high", "levels"), [(15, 15), (3, 3), (3, 15), (255, 255), (100, 255)]
)
def test_the_input_joins_what_was_computed_from_it(high, levels):
    check(with_skip_from_input(high, levels))


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (-1, 15, "negative numbers cannot wait"),
        (0, 16, "cannot wait in neurons without memory"),
    ],
)
def test_an_input_that_cannot_wait_is_refused(low, high, problem):
    with pytest.raises(CapacityError) as error:
        map_radix(with_skip_from_input(high, 15, low), TARGET)

    assert error.value.node == "x"
    assert problem in error.value.problem


def test_a_network_without_neurons_is_read_after_one_step():
    graph = graph_of(entry(4), last("a", "x", 3, 4), output("a", 3))

    circuit = check(graph)

    assert (circuit.period, circuit.latency) == (1, 2)


def test_neurons_start_from_no_more_than_their_levels():
    """With 5 levels in 3 places, saturated neurons fire 5 and not 7."""
    graph = residual(5, 5, 5)
    strong = dataclasses.replace(graph["a"], bias=np.full(5, 1000))

    circuit = check(graph.swap(strong))

    x = np.zeros((1, 4), np.int64)
    assert run_samples(circuit, x).counts["p"].tolist() == [[5] * 5]


FACTORS = st.sampled_from([1, 2, 8, 31, 64, 96, 256])


@given(st.lists(FACTORS, min_size=16, max_size=16), st.integers(0, 99))
def test_weights_are_shifted_while_one_is_too_large_and_all_are_even(factors, seed):
    found = whole(seed, 16, 3) * np.asarray(factors)[:, None]
    weights = [found[:8], found[8:].astype(np.int16)]
    layers = [dataclasses.replace(dense("a", "x", 8, 3), weight=weight) for weight in weights]

    shift, shifted = shifted_layers(layers, TARGET)

    for channel, by in enumerate(shift):
        rows = np.concatenate([weight[channel] for weight in weights])
        fits = [np.abs(rows >> n).max() <= TARGET.weight_max for n in range(10)]
        is_odd = [np.any(rows >> n & 1) for n in range(10)]
        assert by == np.argmax(np.logical_or(fits, is_odd))
    for layer, weight in zip(shifted, weights, strict=True):
        np.testing.assert_array_equal(layer.weight << shift[:, None], weight)
        assert layer.weight.dtype == weight.dtype
