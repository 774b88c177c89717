"""Biases of single neurons are a layer of constants, where few positions differ."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.layout import lay_out
from targets.twin.quantized import Quantized
from toolchain.ir.ann import Conv, Dense, Encoding, Input, Output, Rearrange
from toolchain.ir.convolution import convolve, output_size
from toolchain.ir.counts import sweep
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold

NUMBERS = np.random.default_rng(0)


def graph_of(bias, low=0, **geometry):
    """Return a network of one convolution with ``bias`` and a dense layer."""
    shape = (3, 9, 8)
    weight = NUMBERS.integers(-127, 128, (4, 3, 3, 3))
    conv = Conv(name="c", inputs=("x",), weight=weight, bias=bias, **geometry)
    out = conv.output_shape(shape)
    size = int(np.prod(out))
    threshold = NUMBERS.integers(100, 5000, (4, 1, 1))
    return Graph(
        "g",
        (
            Input(name="x", shape=shape, source_shape=shape, encoding=Encoding(1.0, low, 100)),
            conv,
            MultiThreshold(name="n", inputs=("c",), levels=15, threshold=threshold),
            Rearrange(name="f", inputs=("n",), shape=(size,)),
            Dense(name="d", inputs=("f",), weight=NUMBERS.integers(-9, 10, (2, size))),
            Output(name="y", inputs=("d",), shape=(2,)),
        ),
    )


def folded_bias(stride, padding):
    """Return the biases that a shift folded into a padded convolution leaves."""
    shifts = NUMBERS.integers(-90, 90, (1, 3, 1, 1)) * np.ones((1, 3, 9, 8))
    weight = NUMBERS.integers(-99, 100, (4, 3, 3, 3)).astype(float)
    return convolve(shifts, weight, stride, padding)[0].astype(np.int64)


@pytest.mark.parametrize("low", [0, -20])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [((1, 1), ((1, 1), (1, 1))), ((2, 1), ((1, 0), (0, 1))), ((1, 1), ((0, 2), (2, 0)))],
)
def test_what_folded_normalization_leaves_stays_in_bytes(run_network, stride, padding, low):
    bias = folded_bias(stride, padding) if low == 0 else folded_bias(stride, padding) // 90
    graph = graph_of(bias, low, stride=stride, padding=padding)
    x = NUMBERS.integers(low, 101, (5, 3, 9, 8))

    layout = lay_out(graph)
    sums, counts = run_network(layout, x)

    assert isinstance(layout.forms["n"], Quantized)
    wanted = {node.name: y for node, _, y in sweep(graph, x)}
    np.testing.assert_array_equal(counts["n"], wanted["n"])
    np.testing.assert_array_equal(sums, wanted["d"])


def test_biases_of_all_neurons_that_are_alike_in_a_channel_are_those_of_the_channel(
    run_network,
):
    bias = np.broadcast_to(NUMBERS.integers(-900, 900, (4, 1, 1)), (4, 7, 6))
    graph = graph_of(np.ascontiguousarray(bias))
    x = NUMBERS.integers(0, 101, (5, 3, 9, 8))

    layout = lay_out(graph)
    sums, counts = run_network(layout, x)

    assert isinstance(layout.forms["n"], Quantized)
    assert layout.forms["n"].own is None
    expected = {node.name: value for node, _, value in sweep(graph, x)}
    np.testing.assert_array_equal(counts["n"], expected["n"])
    np.testing.assert_array_equal(sums, expected["d"])


def test_biases_without_a_pattern_are_left_to_plain_sums():
    size = output_size((9, 8), (3, 3), (1, 1), ((0, 0), (0, 0)))

    layout = lay_out(graph_of(NUMBERS.integers(-999, 1000, (4, *size))))

    assert layout.forms["n"] == "biases of single neurons"


def test_more_positions_than_the_input_has_are_left_to_plain_sums():
    padding = ((2, 2), (2, 2))

    layout = lay_out(graph_of(folded_bias((1, 1), padding), padding=padding))

    assert layout.forms["n"] == "biases of single neurons"
