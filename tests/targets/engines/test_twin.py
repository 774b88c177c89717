"""The engine twin runs what was written, and sees a file that is not the network's."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from targets.formats.twin import FILE_NAME, emit_twin
from toolchain.engine import ENGINES, Program
from toolchain.errors import InputDataError
from toolchain.ir.ann import Dense, Encoding, Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold

X = np.array([[0, 255, 3, 7], [9, 1, 0, 200]])


def program(folder, dtype="float32"):
    numbers = np.random.default_rng(0)
    nodes = (
        Input(
            name="x",
            shape=(4,),
            source_shape=(2, 2),
            order=np.array([3, 0, 2, 1]),
            encoding=Encoding(0.5, 0, 255),
            dtype=dtype,
        ),
        Dense(name="d", inputs=("x",), weight=numbers.integers(-127, 128, (5, 4))),
        MultiThreshold(name="n", inputs=("d",), levels=3, threshold=np.asarray(1000)),
        Dense(name="e", inputs=("n",), weight=numbers.integers(-127, 128, (2, 5))),
        Output(name="y", inputs=("e",), shape=(2,)),
    )
    return Program(Graph("g", nodes), None, folder)


def test_it_gives_what_the_count_engine_gives(tmp_path):
    emit_twin(program(tmp_path), tmp_path)

    twin, count = (
        ENGINES[name].run(program(tmp_path), X, trace=False) for name in ("twin", "count")
    )

    np.testing.assert_array_equal(twin.readout, count.readout)
    np.testing.assert_array_equal(twin.counts["n"], count.counts["n"])


def test_a_changed_weight_is_seen(tmp_path):
    (path,) = emit_twin(program(tmp_path), tmp_path)
    model = onnx.load(path)
    weight = next(w for w in model.graph.initializer if w.name.endswith("/e/weight"))
    array = onnx.numpy_helper.to_array(weight) ^ 1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, path)

    twin, count = (
        ENGINES[name].run(program(tmp_path), X, trace=False) for name in ("twin", "count")
    )

    assert (twin.readout != count.readout).any()


def test_a_build_without_a_twin_is_named(tmp_path):
    with pytest.raises(InputDataError, match="the build has no twin") as error:
        ENGINES["twin"].run(program(tmp_path), X, trace=False)

    assert error.value.node == str(tmp_path / FILE_NAME)


def test_integers_that_no_sample_stands_for_are_refused(tmp_path):
    emit_twin(program(tmp_path, "uint8"), tmp_path)

    with pytest.raises(InputDataError, match="no samples of type uint8"):
        ENGINES["twin"].run(program(tmp_path, "uint8"), X, trace=False)
