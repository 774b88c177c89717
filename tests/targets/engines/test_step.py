"""The step engine counts what happens, and what should not have happened."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.engine import ENGINES, Program
from toolchain.ir.ann import Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit, DenseSynapse, Lif, Readout, Source, Window


def program(start):
    """Return neurons that spike in step 1, said to do so from ``start`` on."""
    circuit = Circuit(
        name="net",
        sources=(Source(name="x", shape=(2,), message_bits=4),),
        populations=(
            Lif(name="n", shape=(3,), threshold=0, decay_u=4096, decay_v=4096),
            Lif(name="out", shape=(1,), threshold=131071, decay_u=0, decay_v=4096),
        ),
        synapses=(
            DenseSynapse(name="a", source="x", target="n", weight=np.ones((3, 2), np.int64)),
            DenseSynapse(name="b", source="n", target="out", weight=np.ones((1, 3), np.int64)),
        ),
        inputs=("x",),
        period=4,
        latency=4,
        windows={"n": Window(start, 1)},
        readouts=(Readout("out", 3),),
    )
    graph = Graph(
        "net",
        (
            Input(name="x", shape=(2,), source_shape=(2,)),
            Output(name="y", inputs=("x",), shape=(2,)),
        ),
    )
    return Program(graph, circuit)


@pytest.mark.parametrize(("start", "strays"), [(1, 0), (2, 3)])
def test_spikes_outside_of_their_window_are_counted(start, strays):
    result = ENGINES["step"].run(program(start), np.array([[1, 0]]), trace=False)

    assert result.saturations == strays


def test_operations_of_payloads_are_counted_apart():
    result = ENGINES["step"].run(program(1), np.array([[1, 1], [0, 2]]), trace=False)

    np.testing.assert_array_equal(result.graded_operations, [6, 3])
    np.testing.assert_array_equal(result.synaptic_operations, [6 + 3, 3 + 3])
    np.testing.assert_array_equal(result.readout, [[3], [3]])
