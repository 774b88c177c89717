"""A session takes large constants from where they are, and answers as the whole model does."""

from __future__ import annotations

import numpy as np
import pytest

from targets.twin.sessions import open_session
from targets.twin.writer import ModelWriter, batch_of


@pytest.fixture
def weight():
    """Return weights that are large enough to stay an array."""
    return np.random.default_rng(0).integers(-9, 9, (300, 400)).astype(np.float32)


def sum_of_three(weight):
    """Return a model that adds a large and a small constant to its samples."""
    writer = ModelWriter()
    large = writer.constant("weight", weight, np.float32)
    small = writer.constant("bias", np.arange(weight.shape[1]), np.float32)
    writer.add("Add", ["x", large], "sum")
    writer.add("Add", ["sum", small], "y")
    ends = (batch_of(name, np.float32, weight.shape) for name in "xy")
    return writer.finish("net", [next(ends)], [next(ends)], {})


def test_a_session_has_the_large_constants_of_its_model(weight):
    session = open_session(sum_of_three(weight), threads=1)

    (found,) = session.run(None, {"x": np.zeros((1, *weight.shape), np.float32)})

    np.testing.assert_array_equal(found[0], weight + np.arange(weight.shape[1]))
