"""A model in two parts is one model in a file, and its large constants are nowhere twice."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest

from targets.twin.split_model import SplitModel
from targets.twin.writer import ModelWriter, batch_of

SIZES = [(1, 3), (1, 127), (1, 128), (300, 400), (1500, 1500)]
"""Of a constant: lengths of one byte to four."""


def sum_of(weight):
    """Return a model that adds a constant to its samples."""
    writer = ModelWriter()
    writer.add("Add", ["x", writer.constant("weight", weight, np.float32)], "y")
    ends = (batch_of(name, np.float32, weight.shape) for name in "xy")
    return writer.finish("net", [next(ends)], [next(ends)], {"key": "value"})


@pytest.fixture(params=SIZES, ids=str)
def weight(request):
    """Return values of a constant."""
    return np.random.default_rng(0).integers(-9, 9, request.param).astype(np.float32)


def test_a_file_has_all_that_the_parts_have(weight):
    model = sum_of(weight)
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model.proto)
    wanted.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))

    found = onnx.load(io.BytesIO(b"".join(model.pieces())))

    assert found == wanted
    onnx.checker.check_model(found, full_check=True)


def test_a_model_that_is_split_again_has_the_same_parts(weight):
    model = sum_of(weight)
    whole = onnx.load(io.BytesIO(b"".join(model.pieces())))

    found = SplitModel.of(whole)

    assert found.proto == model.proto
    assert found.large.keys() == model.large.keys()
    for name, values in model.large.items():
        np.testing.assert_array_equal(found.large[name], values)


def test_large_constants_are_not_copied():
    weight = np.zeros((300, 400), np.float32)

    model = sum_of(weight)

    assert np.shares_memory(model.large["weight"], weight)
    assert model.proto.ByteSize() < weight.nbytes / 10


def test_no_piece_is_longer_than_the_largest_constant():
    weight = np.zeros((300, 400), np.float32)
    writer = ModelWriter()
    for number in range(3):
        writer.constant(f"weight{number}", weight, np.float32)

    pieces = writer.finish("net", [], [], {}).pieces()

    assert max(map(len, pieces)) < 1.01 * weight.nbytes
