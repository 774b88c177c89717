"""The count engine gives sums and counts, also where no ONNX layer holds the sums."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.engine import ENGINES, Program
from toolchain.ir.ann import Conv, Dense, Encoding, Input, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold


@pytest.mark.parametrize("weight", [3, 2**24 + 1])
def test_sums_and_counts_of_any_size(weight):
    entry = Input(name="x", shape=(1, 1, 2), source_shape=(1, 1, 2), encoding=Encoding(1, 0, 9))
    threshold = np.asarray(weight)
    nodes = (
        entry,
        Conv(name="c", inputs=("x",), weight=np.full((1, 1, 1, 1), weight)),
        MultiThreshold(name="n", inputs=("c",), levels=7, threshold=threshold),
        Rearrange(name="f", inputs=("n",), shape=(2,)),
        Dense(name="d", inputs=("f",), weight=np.array([[1, 10]]), bias=np.array([5])),
        Output(name="y", inputs=("d",), shape=(1,)),
    )

    result = ENGINES["count"].run(
        Program(Graph("g", nodes), None), np.array([[[[3, 9]]], [[[0, 1]]]]), trace=False
    )

    np.testing.assert_array_equal(result.counts["n"], [[[[3, 7]]], [[[0, 1]]]])
    np.testing.assert_array_equal(result.readout, [[78], [15]])
    assert result.readout.dtype == np.int64
