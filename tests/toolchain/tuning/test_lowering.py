"""auto takes the spatial lowering exactly as long as its neurons fit one chip."""

from dataclasses import replace

import numpy as np
import pytest

from toolchain.ir.ann import Dense, Input, Output, Relu
from toolchain.ir.graph import Graph
from toolchain.target import TARGETS, Limit
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
