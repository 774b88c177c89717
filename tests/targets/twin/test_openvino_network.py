"""OpenVINO gives the sums of the plain evaluation wherever it is said to be exact."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from targets.twin import counting
from targets.twin.counting import CountingNetwork
from targets.twin.layout import lay_out
from targets.twin.openvino_network import OpenVinoNetwork, is_exact, is_installed, run_cases
from targets.twin.self_test import failures
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.counts import sweep
from toolchain.testing import extreme_inputs, samples_of

needs_openvino = pytest.mark.skipif(not is_installed(), reason="OpenVINO is not installed")
BATCH = 8


def exact_network(branches, random):
    """Return a network that is exact in OpenVINO, and its layout."""
    graph = branches(random)
    layout = lay_out(graph)
    assume(is_exact(layout))
    return graph, layout


@needs_openvino
@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_sums_are_those_of_the_plain_evaluation(branches, random):
    graph, layout = exact_network(branches, random)
    encoded = extreme_inputs(graph, random, 2 * BATCH)

    network = OpenVinoNetwork(layout, BATCH, threads=2)

    assert network.is_in_bytes
    assert not failures(layout, run_cases)
    wanted = {node.name: y for node, _, y in sweep(graph, samples_of(graph.input, encoded))}
    np.testing.assert_array_equal(
        network.run(encoded)[0], wanted[graph.producer(graph.output).name]
    )


def exact_seed(branches):
    return next(seed for seed in range(100) if is_exact(lay_out(branches(Random(seed)))))


def test_wide_weights_are_not_said_to_be_exact(branches):
    graph = branches(Random(exact_seed(branches)))
    layer = graph.of_type(Dense)[-1]

    wide = graph.swap(replace(layer, weight=layer.weight + 128))

    assert not is_exact(lay_out(wide))


def test_sums_that_float32_rounds_are_not_said_to_be_exact(branches):
    graph = branches(Random(exact_seed(branches)))
    layer = graph.of_type(Conv)[0]

    far = graph.swap(replace(layer, bias=np.asarray(2**22)))

    assert not is_exact(lay_out(far))


def test_whole_batches_are_openvino_s_and_the_rest_onnxruntime_s(branches, monkeypatch):
    graph = branches(Random(exact_seed(branches)))
    network = CountingNetwork(lay_out(graph), threads=1)
    sums_of, asked = network._sums, []

    class Recorder:
        def run(self, x):
            asked.append(len(x))
            return sums_of.in_onnxruntime(x)

    monkeypatch.setattr(type(sums_of), "openvino", Recorder())
    encoded = extreme_inputs(graph, Random(0), 2 * sums_of.batch + 3)

    sums = network.sums(encoded)

    assert asked == [2 * sums_of.batch]
    np.testing.assert_array_equal(sums, sums_of.in_onnxruntime(encoded)[0])


def test_without_openvino_everything_is_onnxruntime_s(branches, monkeypatch):
    monkeypatch.setattr(counting, "is_installed", lambda: False)
    graph = branches(Random(exact_seed(branches)))

    assert CountingNetwork(lay_out(graph), threads=1)._sums.openvino is None
