"""Several inputs and outputs on stock Lava: every spike and every sum as in step mode."""

from __future__ import annotations

import numpy as np
import pytest

from targets.formats.lava_process import run_on_lava
from targets.simulator.step import everything, run_stream
from toolchain.frontend.testing import import_text
from toolchain.ir.ends import encode_samples, sample_shape
from toolchain.ir.reference import run
from toolchain.target import TARGETS
from toolchain.testing import compile_network

SAMPLES = 3
MODEL = """net (float[N, 2, 4, 4] image, float[N, 3] numbers)
    => (float[N, 3] y, float[N, 2, 4, 4] map, float[N, 5] hidden) {
    a = Conv <pads = [1, 1, 1, 1]> (image, k1)  h = Relu (a)
    map = Conv <pads = [1, 1, 1, 1]> (h, k2)
    f = Flatten (h)  g = MatMul (numbers, v)  r = Relu (g)
    c = Concat <axis = 1> (f, r)  d = MatMul (c, w)  hidden = Relu (d)
    y = MatMul (hidden, u) }"""


def numbers(*shape, seed):
    fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
    normal = np.random.default_rng(seed).normal(0.05, np.sqrt(2 / fan_in), shape)
    return normal.astype(np.float32)


@pytest.mark.lava
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_every_spike_and_every_sum_is_equal(lowering):
    graph = import_text(
        MODEL,
        k1=numbers(3, 2, 3, 3, seed=1),
        k2=numbers(2, 3, 3, 3, seed=2),
        v=numbers(3, 4, seed=3),
        w=numbers(52, 5, seed=4),
        u=numbers(5, 3, seed=5),
    ).graph
    x = np.random.default_rng(6).normal(size=(16, *sample_shape(graph))).astype(np.float32)
    stages = compile_network(graph, x, TARGETS["loihi2"], levels=3, lowering=lowering)
    circuit = stages.circuit
    inputs = encode_samples(stages.quantized, x[:SAMPLES])
    names = list(circuit.windows)

    lava = run_on_lava(circuit, inputs, names, timeout_s=120)

    step = run_stream(circuit, inputs, record=everything(circuit))
    within = circuit.period * np.arange(SAMPLES)[:, None] + np.arange(circuit.latency)
    for name in names:
        stepped = step.trace.spikes[name][0][within]
        np.testing.assert_array_equal(lava.spikes[name], stepped, err_msg=name)
        assert stepped.any(), name
    np.testing.assert_array_equal(lava.outputs, step.readout)
    assert lava.outputs.shape == (SAMPLES, *run(graph, x[:1]).shape[1:])
