"""Bits are those of the widest sum that can be read, with a sign if there is one."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.ir.ann import Dense, Encoding, Input, Output
from toolchain.ir.graph import Graph
from toolchain.partial.traffic import readout_bits


@pytest.mark.parametrize(
    ("weight", "bits"),
    [([[1, 0]], 4), ([[3, 2]], 6), ([[3, -2]], 6), ([[-3, 2]], 6), ([[1, 0], [0, 7]], 7)],
)
def test_the_bits_of_a_readout_are_those_of_its_bounds(weight, bits):
    encoding = Encoding(scale=1.0, low=0, high=10)
    graph = Graph(
        name="net",
        nodes=(
            Input(name="x", shape=(2,), source_shape=(2,), encoding=encoding),
            Dense(name="sums", inputs=("x",), weight=np.array(weight)),
            Output(name="y", inputs=("sums",), shape=(len(weight),)),
        ),
    )

    (output,) = graph.outputs
    assert readout_bits(graph, output) == bits
