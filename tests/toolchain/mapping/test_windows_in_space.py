"""Several windows in the spatial lowering: copies gather, fire for one step, and inhibit."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples, run_stream
from targets.twin.counting import CountingNetwork
from targets.twin.layout import lay_out
from toolchain.ir.counts import sweep
from toolchain.ir.reference import encode
from toolchain.ir.snn import Spiking
from toolchain.registers import Demand, gated_excess, gated_registers
from toolchain.target import TARGETS
from toolchain.testing import (
    compile_network,
    extreme_inputs,
    random_samples,
    random_windows,
    samples_of,
)

TARGET = TARGETS["loihi2"]


def compiled(random, samples=4):
    network = random_windows(random)
    x = random_samples(network, random, samples)
    stages = compile_network(network, x, TARGET, levels=1, lowering="spatial")
    extremes = samples_of(
        stages.quantized.input, extreme_inputs(stages.quantized, random, samples)
    )
    return stages, np.concatenate([x, extremes])


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_counts_are_those_of_the_multi_threshold_network(random):
    stages, x = compiled(random)
    graph = stages.quantized
    proved = all(node.bound == "proved" for node in graph.of_type(Spiking))
    x = x if proved else x[:4]
    inputs = encode(graph.input, x).astype(np.int64)

    stepped, network = (
        run_samples(stages.circuit, inputs),
        CountingNetwork(lay_out(graph), threads=1),
    )

    wanted, counted = {node.name: y for node, _, y in sweep(graph, x)}, network.counts(inputs)
    for node in graph.of_type(Spiking):
        np.testing.assert_array_equal(stepped.counts[node.name], wanted[node.name])
        np.testing.assert_array_equal(counted[node.name], wanted[node.name])
    np.testing.assert_array_equal(stepped.readout >> 6, network.sums(inputs))
    if proved:
        overflows = [stepped.activity.wraps, stepped.activity.saturations]
        assert sum(int(n.sum()) for kind in overflows for n in kind.values()) == 0


def test_samples_one_after_the_other_do_not_disturb_each_other():
    stages, x = compiled(Random(5))
    inputs = encode(stages.quantized.input, x[:3]).astype(np.int64)

    together, apart = run_stream(stages.circuit, inputs), run_samples(stages.circuit, inputs)

    np.testing.assert_array_equal(together.readout, apart.readout)


@given(
    st.integers(1, 8),
    st.integers(1, 3000),
    st.integers(-40_000, 40_000),
    st.integers(0, 40_000),
    st.integers(0, 40_000),
)
def test_what_fits_stays_closed_and_in_its_register(levels, threshold, constant, low, high):
    def column(value):
        return np.array([value])

    demand = Demand(
        threshold=column(threshold),
        constant=column(constant)[:, None],
        low=column(low),
        high=column(high),
    )
    registers = gated_registers(demand, levels)

    lowest = registers.start.min() - registers.gate - low
    assert (registers.start + high - registers.gate <= 0).all()
    if not gated_excess(demand, levels, TARGET).any():
        assert lowest >= -TARGET.current_max
        assert registers.start.max() + high <= TARGET.current_max


@pytest.mark.parametrize("copy", [1, 2, 3])
def test_a_copy_fires_at_its_own_multiple(copy):
    demand = Demand(
        threshold=np.array([10]),
        constant=np.array([[4]]),
        low=np.array([50]),
        high=np.array([50]),
    )

    start = gated_registers(demand, 3).start[0, copy - 1, 0]

    assert start + (10 * copy - 4) > 0
    assert start + (10 * copy - 5) <= 0
