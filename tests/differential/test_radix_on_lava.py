"""Our Lava processes for binary numbers agree with step mode in every register and spike."""

from __future__ import annotations

import numpy as np
import pytest

from targets.formats.lava_process import run_on_lava
from targets.simulator.step import everything, simulate
from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, Readout, Source
from toolchain.ir.radix import Radix, RadixMax

PERIOD, LATENCY, SAMPLES = 5, 16, 4


def circuit():
    """Two populations with other constants in each neuron, some beyond 24 bits, and a pool."""
    numbers = np.random.default_rng(3)
    return Circuit(
        name="radix",
        sources=(Source(name="x", shape=(2, 4, 3), message_bits=16),),
        populations=(
            Radix(
                name="n",
                shape=(2, 4, 3),
                start=1,
                interval=PERIOD,
                places=5,
                threshold=np.array([[[900]], [[40]]]),
                bias=numbers.integers(-(2**15), 2**15, (2, 4, 3)),
                ceiling=np.array([[[19 * 900]], [[2**23 - 1]]]),
            ),
            RadixMax(name="max", shape=(2, 2, 3), start=2, interval=PERIOD),
            Radix(
                name="m",
                shape=(5,),
                start=7,
                interval=PERIOD,
                places=3,
                threshold=2**20,
                bias=numbers.integers(-100, 100, 5),
                shift=2,
            ),
            Radix(name="out", shape=(2,), start=10, interval=PERIOD, places=0),
        ),
        synapses=(
            ConvSynapse(name="a", source="x", target="n", weight=identity(2)),
            ConvSynapse(
                name="b",
                source="n",
                target="max",
                weight=np.tile(np.array([1, 2]).reshape(1, 1, 2, 1), (2, 1, 1, 1)),
                stride=(2, 1),
                groups=2,
            ),
            DenseSynapse(
                name="c",
                source="max",
                target="m",
                weight=2 * numbers.integers(-127, 128, (5, 12)),
                weight_exponent=12,
            ),
            DenseSynapse(
                name="d", source="m", target="out", weight=2 * np.eye(2, 5, dtype=int)
            ),
        ),
        inputs=("x",),
        period=PERIOD,
        latency=LATENCY,
        readouts=(Readout("out", 10, shift=0),),
    )


def identity(channels):
    return np.eye(channels, dtype=np.int64).reshape(channels, channels, 1, 1)


@pytest.mark.lava
def test_every_register_and_spike_is_equal():
    net = circuit()
    inputs = np.random.default_rng(4).integers(-(2**14), 2**15, (SAMPLES, 2, 4, 3))
    time_steps = (SAMPLES - 1) * PERIOD + LATENCY
    sent = np.zeros((1, time_steps, 2, 4, 3), np.int64)
    sent[0, : SAMPLES * PERIOD : PERIOD] = inputs
    names = [population.name for population in net.populations]

    lava = run_on_lava(net, inputs, names, record_state=names, timeout_s=120)

    step = simulate(net, {"x": sent}, time_steps, record=everything(net))
    starts = PERIOD * np.arange(SAMPLES)
    within = starts[:, None] + np.arange(LATENCY)
    for name in names:
        np.testing.assert_array_equal(lava.u[name], step.u[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.v[name], step.v[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.spikes[name], step.spikes[name][0][within])
    np.testing.assert_array_equal(lava.outputs, step.v["out"][0][starts + 10])
    assert lava.outputs.any()
    assert all(lava.spikes[name].any() for name in names if name != "out")
    assert step.activity.wraps["m"].any()
