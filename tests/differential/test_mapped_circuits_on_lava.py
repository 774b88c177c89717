"""A mapped circuit does the same on stock Lava and in step mode, in every bit."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from targets.formats.lava_process import run_on_lava
from targets.simulator.step import everything, simulate
from toolchain.target import TARGETS
from toolchain.testing import (
    compile_network,
    extreme_inputs,
    random_network,
    random_samples,
)

SAMPLES = 3


def streams(circuit, inputs, time_steps):
    """What every source sends, ``(1, time_steps, *shape)``, for samples one after the other."""
    sent = {}
    for source in circuit.sources:
        stream = sent[source.name] = np.zeros((1, time_steps, *source.shape), np.int64)
        for index, sample in enumerate(inputs):
            events = [(0, sample)] if source.name == circuit.input else source.events
            for step, values in events:
                stream[0, index * circuit.period + step] = values
    return sent


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize(("lowering", "seed"), [("temporal", 2), ("spatial", 7), ("radix", 11)])
def test_every_register_and_spike_is_equal(lowering, seed):
    random = Random(seed)
    network = random_network(random)
    samples = random_samples(network, random, 16)
    stages = compile_network(network, samples, TARGETS["loihi2"], levels=3, lowering=lowering)
    circuit = stages.circuit
    inputs = extreme_inputs(stages.quantized, random, SAMPLES)
    time_steps = (SAMPLES - 1) * circuit.period + circuit.latency
    names = [population.name for population in circuit.populations]

    lava = run_on_lava(circuit, inputs, names, record_state=names, timeout_s=120)

    step = simulate(
        circuit, streams(circuit, inputs, time_steps), time_steps, record=everything(circuit)
    )
    starts = circuit.period * np.arange(SAMPLES)
    within = starts[:, None] + np.arange(circuit.latency)
    for name in names:
        np.testing.assert_array_equal(lava.u[name], step.u[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.v[name], step.v[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.spikes[name], step.spikes[name][0][within])
    assert sum(int(spikes.sum()) for spikes in lava.spikes.values()) > 0
    readout = circuit.readout
    np.testing.assert_array_equal(
        lava.outputs, step.v[readout.population][0][starts + readout.step]
    )
