"""auto takes the spatial lowering exactly as long as its neurons fit one chip."""

from dataclasses import replace

import numpy as np
import pytest

from toolchain.ir.ann import Add, Dense, Encoding, Input, Output, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.staircase import Staircase
from toolchain.target import TARGETS, Limit
from toolchain.testing import chain
from toolchain.tuning.lowering import choose_lowering


@pytest.fixture
def network():
    """Return a network with 12 hidden neurons."""
    return Graph(
        "net",
        (
            Input(name="x", shape=(3,), source_shape=(3,)),
            Dense(name="d", inputs=("x",), weight=np.ones((12, 3))),
            Relu(name="r", inputs=("d",)),
            Dense(name="e", inputs=("r",), weight=np.ones((2, 12))),
            Output(name="y", inputs=("e",), shape=(2,)),
        ),
    )


@pytest.mark.parametrize(("room", "lowering"), [(48, "spatial"), (47, "temporal")])
def test_copies_that_fit_the_chip_are_spatial(network, room, lowering):
    target = replace(TARGETS["loihi2"], neurons=Limit(room, "neurons", "test", "assumed"))

    assert choose_lowering(network, 4, target) == lowering


def test_a_quantized_model_of_many_levels_takes_binary_numbers():
    many, few = (
        chain((4,), Dense(name="d", weight=np.ones((3, 4))), Staircase(name="s", low=0, high=h))
        for h in (64, 63)
    )

    assert choose_lowering(many, 15, TARGETS["loihi2"]) == "radix"
    assert choose_lowering(few, 15, TARGETS["loihi2"]) == "spatial"


def test_copies_of_a_quantized_population_are_its_own_levels():
    neurons = Staircase(name="s", low=0, high=63)
    size = TARGETS["loihi2"].neurons.value // 63
    graph = chain((1,), Dense(name="d", weight=np.ones((size, 1))), neurons)
    larger = chain((1,), Dense(name="d", weight=np.ones((size + 1, 1))), neurons)

    assert choose_lowering(graph, 1, TARGETS["loihi2"]) == "spatial"
    assert choose_lowering(larger, 1, TARGETS["loihi2"]) == "temporal"


@pytest.mark.parametrize(("low", "lowering"), [(0, "radix"), (-127, "temporal")])
def test_negative_numbers_that_would_have_to_wait_are_summed_over_time(low, lowering):
    entry = Input(name="x", shape=(3,), source_shape=(3,), encoding=Encoding(1.0, low, 127))
    graph = Graph(
        "net",
        (
            entry,
            Dense(name="d", inputs=("x",), weight=np.ones((3, 3))),
            Staircase(name="s", inputs=("d",), low=0, high=255),
            Dense(name="e", inputs=("s",), weight=np.ones((2, 3))),
            Dense(name="f", inputs=("x",), weight=np.ones((2, 3))),
            Add(name="a", inputs=("e", "f")),
            Output(name="y", inputs=("a",), shape=(2,)),
        ),
    )

    assert choose_lowering(graph, 15, TARGETS["loihi2"]) == lowering
