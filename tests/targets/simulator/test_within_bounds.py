"""A sample is within bounds if neither its positive nor its negative terms leave them."""

import numpy as np
import pytest

from targets.simulator._within_bounds import watched
from toolchain.ir.ann import Conv, Dense, Encoding, Input
from toolchain.ir.counts import sweep
from toolchain.ir.snn import IntegrateFire
from toolchain.testing import chain_from


def network(layer, shape, low, high, bound="observed", **windows):
    """A layer and neurons with the given bounds, for inputs of a shape."""
    code = Encoding(1.0, -31, 31)
    neurons = IntegrateFire(
        name="neurons",
        levels=2,
        bound=bound,
        low=np.asarray(low),
        high=np.asarray(high),
        **windows,
    )
    entry = Input(name="x", shape=shape, source_shape=shape, encoding=code)
    return chain_from(entry, layer, neurons)


def holds_for(graph, x):
    """Tell which samples are within the bounds of the neurons."""
    network, beyond = watched(graph, ["neurons"])
    counts = {node.name: y for node, _, y in sweep(network, x.astype(np.float32))}
    return (counts[beyond] == 0).ravel().tolist()


@pytest.mark.parametrize(
    ("sample", "holds"),
    [
        ((6, 0), True),
        ((7, 0), False),
        ((6, 4), True),
        ((0, 4), True),
        ((0, 6), False),
        ((-3, 0), True),
        ((-4, 0), False),
        ((0, -9), True),
        ((0, -11), False),
        ((7, 30), False),
    ],
)
def test_terms_of_each_sign_are_summed_apart(sample, holds):
    layer = Dense(name="layer", weight=np.array([[3, -2]]), bias=np.array([50]))
    graph = network(layer, (2,), [10], [20])

    assert holds_for(graph, np.array([sample, (0, 0)])) == [holds, True]


def test_one_place_of_a_convolution_is_enough_to_leave_a_bound():
    layer = Conv(name="layer", weight=np.array([1, -1]).reshape(2, 1, 1, 1))
    graph = network(layer, (1, 2, 2), [9, 5], [9, 9])
    x = np.zeros((3, 1, 2, 2), np.int64)
    x[1, 0, 1, 0], x[2, 0, 0, 1] = 6, 4

    assert holds_for(graph, x) == [True, False, True]


def test_groups_of_channels_keep_to_themselves():
    layer = Conv(name="layer", weight=np.array([1, -1, 2, 3]).reshape(4, 1, 1, 1), groups=2)
    graph = network(layer, (2, 1, 1), [0, 4, 0, 0], [4, 0, 9, 9])
    x = np.array([(4, 3), (5, 0), (4, 4), (0, 5), (-1, 0)])

    assert holds_for(graph, x.reshape(5, 2, 1, 1)) == [True, False, False, False, False]


def test_inhibition_by_earlier_windows_takes_its_part_of_the_bound():
    layer = Dense(name="layer", weight=-np.eye(2, dtype=np.int64))
    lateral = np.zeros((2, 2, 1), np.int64)
    lateral[1, 0] = 3
    graph = network(layer, (2,), [8, 8], [8, 8], windows=2, lateral=lateral)

    assert holds_for(graph, np.array([[7, 1], [1, 3]])) == [True, False]


@pytest.mark.parametrize(("bound", "asked"), [("proved", ["neurons"]), ("observed", [])])
def test_proved_bounds_and_those_of_others_are_not_looked_at(bound, asked):
    layer = Dense(name="layer", weight=np.array([[3, -2]]))
    graph = network(layer, (2,), [0], [0], bound)

    assert watched(graph, asked) == (graph, None)
