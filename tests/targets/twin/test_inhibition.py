"""Gathered inhibition is the inhibition, in bytes, whatever windows take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from targets.twin.inhibition import gathered
from targets.twin.joining import ungrouped
from targets.twin.signals import Signal
from toolchain.ir.ann import Conv, Dense

CONV = Conv(name="c", weight=np.ones((3, 2, 3, 3), int))
DENSE = Dense(name="d", weight=np.ones((3, 2), int))
laterals = st.integers(1, 3).flatmap(
    lambda windows: arrays(np.int64, (windows, 3), elements=st.integers(0, 9000))
)


def matrix_of(layer):
    """Return the weights of a layer of one tap, ``(outputs, inputs)``."""
    weight = ungrouped(layer) if isinstance(layer, Conv) else layer.weight
    return weight.reshape(len(weight), -1)


@pytest.mark.parametrize("beside", [CONV, DENSE], ids=["conv", "dense"])
@given(laterals, st.integers(1, 7), st.sampled_from([0, 1, 128]), st.data())
def test_it_is_what_the_windows_take(beside, lateral, levels, zero, data):
    shape = (3,) if beside is DENSE else (3, 4, 4)
    found = gathered(lateral, beside, Signal("", shape, 0, levels), zero)
    assume(found is not None)
    counts = data.draw(arrays(np.int64, lateral.shape, elements=st.integers(0, levels)))

    block = found.form.joined.blocks[0]
    weight = block.weight.reshape(len(block.weight), -1)[:, : counts.size]
    held = weight @ counts.ravel()

    taken = matrix_of(found.layer) @ held
    np.testing.assert_array_equal(taken, -(lateral * counts).sum(axis=0))
    assert held.min() >= 0
    assert held.max() + zero <= 255
    assert max(np.abs(weight).max(), np.abs(found.layer.weight).max()) <= 127
    assert (found.signal.zero_point, found.signal.high) == (zero, 255 - zero)


@pytest.mark.parametrize(
    ("lateral", "number"),
    [([[127 * 63]], 1), ([[425], [382], [344]], 2), ([[503], [504]], 2), ([[127 * 64]], 2)],
    ids=["a product", "some windows", "a prime number", "more than a byte"],
)
def test_it_takes_few_bytes(lateral, number):
    beside = Conv(name="c", weight=np.ones((1, 2, 3, 3), int))

    found = gathered(np.array(lateral), beside, Signal("", (1, 4, 4), 0, 4), 0)

    assert found.layer.weight.shape[1] == number


@pytest.mark.parametrize(
    ("lateral", "levels"),
    [(600000, 4), (-1, 1), (7, 256)],
    ids=["too much", "negative", "too many levels"],
)
def test_what_few_bytes_do_not_hold_is_not_gathered(lateral, levels):
    beside = Conv(name="c", weight=np.ones((1, 2, 3, 3), int))

    assert gathered(np.array([[lateral]]), beside, Signal("", (1, 4, 4), 0, levels), 0) is None
