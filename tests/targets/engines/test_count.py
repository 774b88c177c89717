"""The count engine gives sums and counts, also where no ONNX layer holds the sums."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime import InferenceSession

from targets.engines.count import spike_counts
from targets.twin import counting
from toolchain.engine import ENGINES, Program
from toolchain.ir.ann import Conv, Dense, Encoding, Input, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold


def program_of(weight):
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
    return Program(Graph("g", nodes), None)


SAMPLES = np.array([[[[3, 9]]], [[[0, 1]]]])


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("weight", [3, 2**24 + 1])
def test_sums_and_counts_of_any_size(weight, trace):
    result = ENGINES["count"].run(program_of(weight), SAMPLES, trace=trace)

    np.testing.assert_array_equal(result.counts["n"], [[[[3, 7]]], [[[0, 1]]]])
    np.testing.assert_array_equal(result.readout, [[78], [15]])
    assert result.readout.dtype == np.int64


def test_counts_that_are_asked_for_come_from_the_same_run(monkeypatch):
    runs = []
    run = InferenceSession.run
    monkeypatch.setattr(InferenceSession, "run", lambda *args: runs.append(1) or run(*args))
    monkeypatch.setattr(counting, "is_installed", lambda: False)
    program = program_of(3)
    ENGINES["count"].run(program, SAMPLES, trace=True)
    prepared = len(runs)

    result = ENGINES["count"].run(program, SAMPLES, trace=True)

    assert (list(result.counts), len(result.readout)) == (["n"], 2)
    assert len(runs) == prepared + 1


def test_counts_of_chosen_populations_need_no_others():
    found = spike_counts(program_of(3).graph, SAMPLES, ["n"])

    np.testing.assert_array_equal(found["n"], [[[[3, 7]]], [[[0, 1]]]])
    assert spike_counts(program_of(2**24 + 1).graph, SAMPLES, ["n"]).keys() == {"n"}
    assert spike_counts(program_of(3).graph, SAMPLES, []) == {}
