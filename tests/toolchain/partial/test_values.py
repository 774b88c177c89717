"""A value can go from segment to segment if its first axis is known to hold the samples."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.frontend.model_file import read_file
from toolchain.partial.values import values_of

TURNED = """
net (float[%s, 1, 6] x) => (float[%s, 6] y) {
    t = Transpose <perm = [1, 0, 2]> (x)
    k = Cast <to = 7> (x)
    s = Shape(x)
    y = Squeeze(x, axis)
}
"""


@pytest.fixture
def known(save):
    """Return a function that returns what is known for a batch axis."""

    def learn(batch):
        path = save(TURNED % (batch, batch), axis=np.array([1]))
        return values_of(read_file(path))

    return learn


def test_an_axis_of_length_1_is_no_batch_axis_if_it_is_that_for_two_samples_too(known):
    values = known("N")

    assert values.shape("x") == (1, 6)
    assert values.shape("y") == (6,)
    assert values.shape("t") is None


def test_a_model_for_one_sample_has_nothing_else(known):
    values = known("1")

    assert values.has_fixed_batch
    assert values.shape("t") == (1, 6)


def test_only_numbers_with_a_fraction_go_to_the_chip(known):
    values = known("N")

    assert values.is_port("y")
    assert not values.is_port("k")
    assert not values.is_port("t")


def test_a_shape_depends_on_the_number_of_samples(known):
    array, is_for_any_batch = known("N").constant("s")

    assert array.tolist() == [1, 1, 6]
    assert not is_for_any_batch
