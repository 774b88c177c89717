"""Several samples in one circuit do the same on stock Lava and in step mode, in every bit.

Samples enter before the one before them has left, so that every population works on another
one; their counts are those of the graph.
"""

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

SAMPLES = 5
CHAIN = """net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
    a = Conv (x, k1)  h = Relu (a)
    p = MaxPool <kernel_shape = [2, 2], strides = [1, 1]> (h)
    b = Conv (p, k2)  i = Relu (b)
    f = Flatten (i)  d = MatMul (f, w1)  j = Relu (d)  y = MatMul (j, w2) }"""
RESIDUAL = """net (float[N, 2, 6, 6] x) => (float[N, 3] y) {
    a = Conv (x, k1)  h = Relu (a)
    b = Conv <pads = [1, 1, 1, 1]> (h, k2)  i = Relu (b)
    c = Conv <pads = [1, 1, 1, 1]> (i, k2)  s = Add (c, h)  r = Relu (s)
    f = Flatten (r)  d = MatMul (f, w3)  j = Relu (d)  y = MatMul (j, w2) }"""


def numbers(*shape, seed):
    fan_in = int(np.prod(shape[1:]))
    normal = np.random.default_rng(seed).normal(0.05, np.sqrt(2 / fan_in), shape)
    return normal.astype(np.float32)


def compiled(text, levels):
    """Return the stages of a network, and samples for it: two ordinary, three at the ends."""
    weights = {
        "k1": numbers(3, 2, 3, 3, seed=1),
        "k2": numbers(3, 3, 3, 3, seed=2),
        "w1": numbers(3, 5, seed=3),
        "w2": numbers(5, 3, seed=4),
        "w3": numbers(48, 5, seed=5),
    }
    used = {name: array for name, array in weights.items() if f", {name})" in text}
    x = np.random.default_rng(6).normal(size=(16, 2, 6, 6)).astype(np.float32)
    x[1], x[3], x[4] = x.max(), x.min(), x.max()
    graph = import_text(text, **used).graph
    stages = compile_network(
        graph, x, TARGETS["loihi2"], levels=levels, lowering="temporal", schedule="pipelined"
    )
    return stages, x[:SAMPLES]


@pytest.mark.lava
@pytest.mark.parametrize(
    ("text", "levels", "period", "latency"),
    [(CHAIN, 3, 6, 12), (RESIDUAL, 3, 9, 14)],
    ids=["chain", "residual"],
)
def test_every_register_and_spike_is_equal(text, levels, period, latency):
    stages, x = compiled(text, levels)
    circuit, graph = stages.circuit, stages.quantized
    inputs = encode(graph.input, x).astype(np.int64)
    names = [population.name for population in circuit.populations]

    lava = run_on_lava(circuit, inputs, names, record_state=names, timeout_s=120)

    assert (circuit.period, circuit.latency) == (period, latency)
    step = run_stream(circuit, inputs, record=everything(circuit))
    within = circuit.period * np.arange(SAMPLES)[:, None] + np.arange(circuit.latency)
    for name in names:
        np.testing.assert_array_equal(lava.u[name], step.trace.u[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.v[name], step.trace.v[name][0], err_msg=name)
        stepped = step.trace.spikes[name][0][within]
        np.testing.assert_array_equal(lava.spikes[name], stepped, err_msg=name)
    np.testing.assert_array_equal(lava.outputs, step.readout)
    counted = {node.name: counts for node, _, counts in sweep(graph, x)}
    for node in graph.of_type(Spiking):
        window = circuit.windows[node.name]
        sent = lava.spikes[node.name][:, window.start : window.start + window.length].sum(1)
        np.testing.assert_array_equal(sent, counted[node.name], err_msg=node.name)
        assert counted[node.name].any()
    outputs = counted[graph.output.inputs[0]]
    np.testing.assert_array_equal(circuit.in_weight_units(lava.outputs), outputs)
