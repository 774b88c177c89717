"""Energy is counted operations times published costs, on both sides."""

import numpy as np
import pytest

from toolchain.ir.ann import Conv, Dense, Input, Output, Rearrange, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt
from toolchain.reporting.energy import count_multiply_accumulates, model_energy


def test_a_binary_operation_adds_and_a_graded_one_multiplies_too():
    energy = model_energy(operations=1000.0, graded=100.0, source=500)

    assert energy.accumulates == 900.0
    assert energy.network_j == pytest.approx(900 * 0.9e-12 + 100 * 4.6e-12, rel=1e-12)
    assert energy.source_j == pytest.approx(500 * 4.6e-12, rel=1e-12)


def test_every_weight_counts_at_every_position():
    weight = np.ones((4, 2, 3, 3))
    graph = Graph(
        "net",
        (
            Input(name="x", shape=(2, 6, 5), source_shape=(2, 6, 5)),
            Conv(name="c", inputs=("x",), weight=weight),
            Relu(name="r", inputs=("c",)),
            Rearrange(name="f", inputs=("r",), shape=(48,)),
            Dense(name="d", inputs=("f",), weight=np.ones((7, 48))),
            Output(name="y", inputs=("d",), shape=(7,)),
        ),
    )

    assert count_multiply_accumulates(graph) == 72 * 4 * 3 + 7 * 48


def test_layers_behind_windows_run_in_each_of_them():
    graph = Graph(
        "net",
        (
            Input(name="x", shape=(3,), source_shape=(3,)),
            Dense(name="d", inputs=("x",), weight=np.ones((4, 3))),
            LmHt(name="n", inputs=("d",), levels=2, threshold=1.0, mixing=np.eye(5)),
            Dense(name="e", inputs=("n",), weight=np.ones((2, 4))),
            Output(name="y", inputs=("e",), shape=(2,)),
        ),
    )

    assert count_multiply_accumulates(graph) == 12 + 5 * 8
