"""Branches that meet spike alike on stock Lava and in step mode, and count as they should."""

from __future__ import annotations

import numpy as np
import pytest

from targets.formats.lava_process import run_on_lava
from targets.simulator.step import everything, run_stream
from toolchain.frontend.testing import import_text
from toolchain.ir.counts import sweep
from toolchain.ir.reference import encode
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import compile_network

SAMPLES = 3
RESIDUAL = """net (float[N, 2, 4, 4] x) => (float[N, 3] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, k1)  h = Relu (a)
    b = Conv <pads = [1, 1, 1, 1]> (h, k2)  s = Add (b, h)  r = Relu (s)
    f = Flatten (r)  y = MatMul (f, w) }"""
CONCAT = """net (float[N, 2, 4, 4] x) => (float[N, 3] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, k1)  h = Relu (a)
    b = Conv <pads = [1, 1, 1, 1]> (h, k2)  r = Relu (b)
    c = Concat <axis = 1> (r, h)  d = Conv (c, k3)  e = Relu (d)
    f = Flatten (e)  y = MatMul (f, v) }"""

FROM_THE_INPUT = """net (float[N, 2, 4, 4] x) => (float[N, 3] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, k1)  h = Relu (a)
    b = Conv (h, k4)  s = Add (b, x)  r = Relu (s)
    f = Flatten (r)  y = MatMul (f, u) }"""


def numbers(*shape, seed):
    fan_in = int(np.prod(shape[1:]))
    normal = np.random.default_rng(seed).normal(0.05, np.sqrt(2 / fan_in), shape)
    return normal.astype(np.float32)


def compiled(text, lowering):
    """Return the stages of a network, and samples for it."""
    weights = {
        "k1": numbers(3, 2, 3, 3, seed=1),
        "k2": numbers(3, 3, 3, 3, seed=2),
        "k3": numbers(4, 6, 1, 1, seed=3),
        "k4": numbers(2, 3, 1, 1, seed=7),
        "u": numbers(32, 3, seed=8),
        "w": numbers(48, 3, seed=4),
        "v": numbers(64, 3, seed=5),
    }
    used = {name: array for name, array in weights.items() if f", {name})" in text}
    x = np.random.default_rng(6).normal(size=(16, 2, 4, 4)).astype(np.float32)
    graph = import_text(text, **used).graph
    return compile_network(graph, x, TARGETS["loihi2"], levels=3, lowering=lowering), x


@pytest.mark.lava
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@pytest.mark.parametrize(
    "text",
    [RESIDUAL, CONCAT, FROM_THE_INPUT],
    ids=["residual", "concat", "from the input"],
)
def test_every_spike_is_equal(text, lowering):
    stages, x = compiled(text, lowering)
    circuit, graph = stages.circuit, stages.quantized
    inputs = encode(graph.input, x[:SAMPLES]).astype(np.int64)
    names = list(circuit.windows)

    lava = run_on_lava(circuit, inputs, names, timeout_s=120)

    step = run_stream(circuit, inputs, record=everything(circuit))
    within = circuit.period * np.arange(SAMPLES)[:, None] + np.arange(circuit.latency)
    counted = {node.name: counts for node, _, counts in sweep(graph, x[:SAMPLES])}
    for name in names:
        stepped = step.trace.spikes[name][0][within]
        np.testing.assert_array_equal(lava.spikes[name], stepped, err_msg=name)
    for node in graph.of_type(Spiking):
        window, shape = circuit.windows[node.name], graph.shapes[node.name]
        sent = lava.spikes[node.name][:, window.start : window.start + window.length].sum(1)
        of_unit = sent.reshape(SAMPLES, shape[0], window.copies, *shape[1:]).sum(2)
        np.testing.assert_array_equal(of_unit, counted[node.name], err_msg=node.name)
        assert counted[node.name].any()
    np.testing.assert_array_equal(lava.outputs, step.readout)
