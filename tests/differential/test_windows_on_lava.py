"""An LM-HT network does the same on stock Lava and in step mode, in every bit.

The networks have two or three windows, mixing matrices that are not uniform, retention below 1,
and samples of one or of several windows.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from targets.formats.lava_process import run_on_lava
from targets.simulator.step import everything, simulate
from toolchain.ir.reference import encode
from toolchain.ir.snn import IntegrateFire, LmHt
from toolchain.schedule import schedule_of
from toolchain.target import TARGETS
from toolchain.testing import compile_network, extreme_inputs, random_samples, random_windows

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
@pytest.mark.parametrize(
    ("seed", "windows", "of_input", "schedule"),
    [
        (217, 3, 1, "sequential"),
        (41, 3, 3, "sequential"),
        (360, 2, 2, "sequential"),
        (360, 2, 2, "pipelined"),
    ],
    ids=[
        "full",
        "full with a sample a window",
        "lower with a sample a window",
        "samples that overlap",
    ],
)
def test_every_register_and_spike_is_equal(seed, windows, of_input, schedule):
    random = Random(seed)
    network = random_windows(random)
    x = random_samples(network, random, 16)
    stages = compile_network(
        network, x, TARGETS["loihi2"], levels=1, lowering="temporal", schedule=schedule
    )
    circuit, graph = stages.circuit, stages.quantized
    inputs = encode(graph.input, x[: SAMPLES - 1]).astype(np.int64)
    inputs = np.concatenate([inputs, extreme_inputs(graph, random, SAMPLES)[2:]])
    time_steps = (SAMPLES - 1) * circuit.period + circuit.latency
    names = [population.name for population in circuit.populations]

    lava = run_on_lava(circuit, inputs, names, record_state=names, timeout_s=120)

    assert network.input.windows == of_input
    assert schedule_of(circuit) == schedule
    for node in network.of_type(LmHt):
        assert node.windows == windows
        assert np.ptp(node.mixing) > 0
        assert node.retention < 1
    step = simulate(
        circuit, streams(circuit, inputs, time_steps), time_steps, record=everything(circuit)
    )
    starts = circuit.period * np.arange(SAMPLES)
    within = starts[:, None] + np.arange(circuit.latency)
    for name in names:
        np.testing.assert_array_equal(lava.u[name], step.u[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.v[name], step.v[name][0], err_msg=name)
        np.testing.assert_array_equal(lava.spikes[name], step.spikes[name][0][within])
    for node in graph.of_type(IntegrateFire):
        assert all(part.any() for part in np.split(lava.spikes[node.name], windows, axis=2))
    readout = circuit.readout
    np.testing.assert_array_equal(
        lava.outputs, step.v[readout.population][0][starts + readout.step]
    )
