"""A twin has the counts and sums of the plain evaluation, in whatever way it is run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples
from targets.twin.layout import lay_out
from targets.twin.model import network_model
from targets.twin.quantized import Quantized
from toolchain.errors import ConversionError
from toolchain.ir.counts import sweep
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import (
    compile_network,
    extreme_inputs,
    random_branches,
    random_network,
    random_samples,
    random_windows,
    samples_of,
)

SHARED = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(layout, encoded, run_network, is_optimized):
    """Compare all counts and the sums with the plain evaluation."""
    graph = layout.graph
    wanted = {node.name: y for node, _, y in sweep(graph, samples_of(graph.input, encoded))}
    for form in layout.forms.values():
        event("bytes" if isinstance(form, Quantized) else form)

    sums, counts = run_network(layout, encoded, is_optimized=is_optimized)

    model = b"".join(network_model(layout, list(layout.forms)).pieces())
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(sums, wanted[graph.producer(graph.output).name])
    for name, found in counts.items():
        np.testing.assert_array_equal(found, wanted[name], err_msg=name)


@pytest.mark.parametrize("is_optimized", [True, False])
@given(st.randoms(use_true_random=False))
@SHARED
def test_branches_are_those_of_the_plain_evaluation(
    branches, run_network, is_optimized, random
):
    graph = branches(random)

    check(lay_out(graph), extreme_inputs(graph, random, 5), run_network, is_optimized)


@pytest.mark.parametrize("is_optimized", [True, False])
@given(st.randoms(use_true_random=False))
@SHARED
def test_plain_sums_are_those_of_the_plain_evaluation(
    branches, run_network, is_optimized, random
):
    graph = branches(random)
    every = frozenset(node.name for node in graph.of_type(Spiking))

    layout = lay_out(graph, exact_sums=every)

    check(layout, extreme_inputs(graph, random, 5), run_network, is_optimized)


@given(st.randoms(use_true_random=False))
@SHARED
def test_compiled_networks_count_as_the_step_engine_does(run_network, random):
    network = random.choice((random_network, random_windows, random_branches))(random)
    x = random_samples(network, random, 4)
    levels = random.choice((1, 4, 15, 31))
    try:
        stages = compile_network(
            network, x, TARGETS["loihi2"], levels=levels, lowering="temporal"
        )
    except ConversionError:
        assume(False)
    graph = stages.quantized
    proved = all(node.bound == "proved" for node in graph.of_type(Spiking))
    assume(graph.input.order is None or np.unique(graph.input.order).size == x[0].size)
    encoded = extreme_inputs(graph, random, 4)
    layout = lay_out(graph)
    check(layout, encoded, run_network, is_optimized=True)
    assume(proved)

    sums, counts = run_network(layout, encoded)
    stepped = run_samples(stages.circuit, encoded)

    np.testing.assert_array_equal(sums, stepped.readout >> stages.circuit.readout.shift)
    for name, found in counts.items():
        np.testing.assert_array_equal(found, stepped.counts[name])
