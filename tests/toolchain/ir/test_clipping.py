"""Values beyond what an encoding can say are counted, and warned of if they are many."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.ir.ann import Dense, Encoding
from toolchain.ir.clipping import Clipping, count_clipped, describe_clipping, summed
from toolchain.testing import chain


def network(**changed):
    graph = chain((4,), Dense(name="dense", weight=np.ones((2, 4))))
    encoding = Encoding(0.5, -1, 3)
    return graph.swap(dataclasses.replace(graph.input, encoding=encoding, **changed))


def test_half_a_step_beyond_the_range_is_within_it():
    x = np.array([[-0.75, 1.75, 0.0, 1.5], [-0.76, 1.76, np.inf, 0.1]], np.float32)

    (found,) = count_clipped(network(), x)

    assert (found.low, found.high) == (-0.5, 1.5)
    assert (found.clipped, found.values) == (3, 8)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "int64"])
def test_samples_of_any_type_are_counted(dtype):
    (found,) = count_clipped(network(), np.array([[0, 1, 2, 255]], dtype))

    assert found.clipped == 2


def test_values_that_the_network_does_not_read_are_not_counted():
    graph = network(order=np.array([3, 2, 0, -1]))

    (found,) = count_clipped(graph, np.array([[0.0, 9.0, 1.0, 1.0]]))

    assert (found.clipped, found.values) == (0, 4)


def test_a_network_that_is_not_quantized_clips_nothing():
    graph = chain((4,), Dense(name="dense", weight=np.ones((2, 4))))

    assert count_clipped(graph, np.full((1, 4), 9.0)) == ()


def test_counts_are_added_up_for_each_input():
    one, other = Clipping("x", 0.0, 1.0, 2, 10), Clipping("z", 0.0, 1.0, 1, 4)

    assert summed((one, other, one)) == (Clipping("x", 0.0, 1.0, 4, 20), other)


def test_from_a_hundredth_on_there_is_a_warning():
    few, many = (Clipping("x", 0.0, 1.0, clipped, 200) for clipped in (2, 3))

    assert list(describe_clipping([few])) == []
    assert list(describe_clipping([many])) == [
        "1.5% of the values of input 'x' are clipped: they lie outside 0 to 1, which its "
        "encoding covers; scale the samples as those of the calibration, or compile with such "
        "samples as --calibration"
    ]
