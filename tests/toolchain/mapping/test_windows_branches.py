"""Trained neurons in residual networks count alike in the graph, count mode and the circuit.

Their sums are copied without limit, so that nothing is rounded between them.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from toolchain._random_branches import BranchWriter
from toolchain.engine import ENGINES, Program
from toolchain.errors import RangeError
from toolchain.ir.ann import Add, Input, Output, Rearrange, Relu
from toolchain.ir.counts import sweep
from toolchain.ir.graph import Phase
from toolchain.ir.reference import decode, encode, run
from toolchain.ir.snn import LmHt, Spiking
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, compile_network, random_samples

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=1, method="mmse", lowering="temporal")


class SpikingWriter(BranchWriter):
    """Draws a stream of sums without activations, to which blocks of trained neurons add."""

    def network(self):
        shape = (2, 3, 3)
        self.windows, self.levels = self.random.randint(1, 3), self.random.randint(1, 4)
        self.nodes["x"] = Input(name="x", shape=shape, source_shape=shape)
        self.shapes["x"] = shape
        stream = self.conv("x")
        for _ in range(self.blocks_count()):
            spikes = self.neurons(stream)
            if self.chance(3):
                spikes = self.joined(spikes, self.neurons(self.conv(spikes)))
            added = self.conv(spikes, like=stream)
            stream = added if self.chance(4) else self.added(added, stream)
        spikes = self.neurons(stream)
        size = int(np.prod(self.shapes[spikes]))
        flat = self.add(Rearrange(name="", inputs=(spikes,), shape=(size,)))
        last = self.dense(flat, 3)
        return self.used(Output(name="y", inputs=(last,), shape=(3,), tensor="y"))

    def blocks_count(self):
        return self.random.randint(1, 5)

    def neurons(self, x):
        mixing = np.tril(self.numbers.uniform(0.2, 1, (self.windows, self.windows)))
        mixing = np.rint(4 * mixing) / 4 if self.is_whole else mixing
        return self.add(
            LmHt(
                name="",
                inputs=(x,),
                levels=self.levels,
                threshold=float(self.random.choice((0.5, 1.0))),
                mixing=mixing,
                retention=self.random.choice((0.5, 1.0)),
            )
        )


class PlainStream(SpikingWriter):
    """Draws a stream of five blocks with nothing but sums."""

    def blocks_count(self):
        return 5

    def chance(self, one_in):
        return False


@given(st.randoms())
def test_preparing_keeps_the_function_and_leaves_no_rectifier(random):
    network = SpikingWriter(random, is_whole=True).network()
    x = random_samples(network, random, 4, is_whole=True)

    prepared = after_phase(network, Phase.PREPARE, CONTEXT)

    assert not prepared.of_type(Relu)
    np.testing.assert_array_equal(run(prepared, x), run(network, x))


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_every_count_is_equal(lowering, random):
    network = SpikingWriter(random, is_whole=False).network()
    x = random_samples(network, random, 4)
    try:
        stages = compile_network(network, x, TARGET, levels=1, lowering=lowering)
    except RangeError:
        assume(False)
    graph = stages.quantized
    assume(all(node.bound == "proved" for node in graph.of_type(Spiking)))

    counted = {node.name: value for node, _, value in sweep(graph, x)}
    inputs = encode(graph.input, x).astype(np.int64)
    program = Program(graph, stages.circuit)
    stepped = ENGINES["step"].run(program, inputs, trace=False)
    fast = ENGINES["count"].run(program, inputs, trace=False)

    for node in graph.of_type(Spiking):
        np.testing.assert_array_equal(stepped.counts[node.name], counted[node.name])
        np.testing.assert_array_equal(fast.counts[node.name], counted[node.name])
    readout = counted[graph.output.inputs[0]]
    np.testing.assert_array_equal(stepped.readout, readout)
    np.testing.assert_array_equal(decode(graph.output, readout), run(graph, x))


def test_a_long_stream_is_copied_for_every_block():
    network = PlainStream(Random(0), is_whole=True).network()

    prepared = after_phase(network, Phase.PREPARE, CONTEXT)

    assert len(prepared.of_type(LmHt)) == len(network.of_type(LmHt)) == 6
    assert [len(node.inputs) for node in prepared.of_type(Add)] == [2, 3, 4, 5, 6]
