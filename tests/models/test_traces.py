"""Spikes written from counts are those of the run step by step, of every bundled model."""

from pathlib import Path

import numpy as np
import pytest

from targets.simulator.step import run_samples
from targets.simulator.trace import trace_samples
from toolchain.engine import Program, Selection
from toolchain.frontend import import_model
from toolchain.ir.reference import encode
from toolchain.target import TARGETS
from toolchain.testing import compile_network

MODELS = sorted(path for path in (Path(__file__).parents[2] / "models").iterdir())
NAMES = [path.name for path in MODELS if (path / "model.onnx").is_file()]
CALIBRATION, TRACED = 64, 6


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_is_traced_as_it_is_run(name, lowering):
    folder = MODELS[0].with_name(name)
    with np.load(folder / "calibration.npz") as held, np.load(folder / "test.npz") as unseen:
        x, new = held["x"][:CALIBRATION], unseen["x"][:TRACED]
    graph = import_model(folder / "model.onnx").graph
    stages = compile_network(graph, x, TARGETS["loihi2"], levels=4, lowering=lowering)
    inputs = encode(stages.quantized.input, new).astype(np.int64)

    trace = trace_samples(Program(stages.quantized, stages.circuit), inputs, Selection())

    record = dict.fromkeys(trace, ("spikes",))
    whole = run_samples(stages.circuit, inputs, record=record).trace.spikes
    assert set(trace) == set(stages.circuit.windows)
    for population, found in trace.items():
        steps = slice(found.first_step, found.first_step + found.spikes.shape[1])
        np.testing.assert_array_equal(found.spikes, whole[population][:, steps])
        assert found.spikes.any()
