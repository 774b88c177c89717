"""A circuit takes and gives the numbers of its graph, and one that does not is named."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from toolchain.errors import VerifyError
from toolchain.ir.ends import require_same_ends
from toolchain.ir.mapped import Readout
from toolchain.target import TARGETS
from toolchain.testing import compile_network, random_network, random_samples


@pytest.fixture(scope="module")
def stages():
    """Return a small network at all stages."""
    graph = random_network(Random(0))
    x = random_samples(graph, Random(0), 4)
    return compile_network(graph, x, TARGETS["loihi2"], levels=3, lowering="temporal")


def test_the_circuit_of_a_graph_has_its_ends(stages):
    require_same_ends(stages.quantized, stages.circuit)


@pytest.mark.parametrize("field", ["inputs", "readouts"])
def test_a_circuit_without_ends_is_refused(stages, field):
    circuit = dataclasses.replace(stages.circuit, **{field: ()})

    with pytest.raises(VerifyError, match=r"the circuit (takes|gives) \[\] numbers; ") as error:
        require_same_ends(stages.quantized, circuit)

    assert error.value.node == circuit.name


def test_an_end_that_is_no_node_is_named(stages):
    circuit = dataclasses.replace(stages.circuit, readouts=(Readout("nowhere", 3),))

    with pytest.raises(VerifyError) as error:
        require_same_ends(stages.quantized, circuit)

    assert error.value.node == "nowhere"
