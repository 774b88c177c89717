"""Networks with branches compute what the model does, and count on the chip what they count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from toolchain.engine import ENGINES, Program
from toolchain.errors import CapacityError, ConversionError
from toolchain.ir.counts import sweep
from toolchain.ir.graph import Phase
from toolchain.ir.reference import counts_of, encode, evaluate, run
from toolchain.ir.snn import Spiking
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, compile_network, random_branches, random_samples

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=7, method="mmse", lowering="temporal")


def compiled(random, lowering):
    graph = random_branches(random)
    x = random_samples(graph, random, 4)
    try:
        return compile_network(
            graph, x, TARGET, levels=random.randint(1, 9), lowering=lowering
        ), x
    except (ConversionError, CapacityError):
        assume(False)


@given(st.randoms())
def test_preparing_keeps_the_function(random):
    graph = random_branches(random, is_whole=True)
    x = random_samples(graph, random, 3, is_whole=True)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    np.testing.assert_array_equal(run(prepared, x), run(graph, x))


@given(st.randoms())
def test_preparing_twice_changes_nothing(random):
    prepared = after_phase(random_branches(random), Phase.PREPARE, CONTEXT)

    assert after_phase(prepared, Phase.PREPARE, CONTEXT).nodes == prepared.nodes


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_lowering_changes_no_count(lowering, random):
    stages, x = compiled(random, lowering)

    converted, lowered = evaluate(stages.converted, x), evaluate(stages.lowered, x)

    for node in stages.lowered.of_type(Spiking):
        np.testing.assert_array_equal(
            counts_of(lowered[node.name]), counts_of(converted[node.name])
        )


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_the_circuit_counts_alike(lowering, random):
    stages, x = compiled(random, lowering)
    graph = stages.quantized
    assume(all(node.bound == "proved" for node in graph.of_type(Spiking)))

    counted = {node.name: value for node, _, value in sweep(graph, x)}
    inputs = encode(graph.input, x).astype(np.int64)
    stepped = ENGINES["step"].run(Program(graph, stages.circuit), inputs, trace=False)

    for node in graph.of_type(Spiking):
        np.testing.assert_array_equal(stepped.counts[node.name], counted[node.name])
    readout = counted[graph.output.inputs[0]]
    np.testing.assert_array_equal(stepped.readout, readout)
