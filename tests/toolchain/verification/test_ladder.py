"""Step mode gets as many samples of the ladder as its time allows, and its report says so."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest

from toolchain.data import Samples
from toolchain.engine import ENGINES, Engine, Program
from toolchain.ir.ann import Dense, Input, Output, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.target import TARGETS
from toolchain.testing import compile_network
from toolchain.verification import ladder

SAMPLES = 20


@pytest.fixture(scope="module")
def samples():
    return Samples(np.random.default_rng(0).random((SAMPLES, 4)))


@pytest.fixture(scope="module")
def program(samples):
    numbers = np.random.default_rng(1)

    def dense(name, source, rows, columns):
        weight = numbers.normal(size=(rows, columns))
        return Dense(name=name, inputs=(source,), origin=(name,), weight=weight)

    network = Graph(
        "net",
        (
            Input(name="x", shape=(4,), source_shape=(4,), origin=("x",)),
            dense("a", "x", 6, 4),
            Relu(name="p", inputs=("a",), origin=("p",)),
            dense("b", "p", 2, 6),
            Output(name="y", inputs=("b",), shape=(2,), origin=("y",)),
        ),
        source_nodes=("a", "p", "b"),
    ).at_phase(Phase.IMPORT)
    stages = compile_network(
        network, samples.x, TARGETS["loihi2"], levels=5, lowering="temporal"
    )
    return Program(stages.quantized, stages.circuit)


@pytest.fixture
def climbed(program, samples, monkeypatch):
    """Climb with step mode that takes some time for each sample and is wrong about one."""

    def climb(seconds_each, wrong=None):
        clock, stepped = [0.0], [0]

        def run(program, inputs, *, trace):
            clock[0] += seconds_each * len(inputs)
            found = ENGINES["step"].run(program, inputs, trace=trace)
            counts = {name: each.copy() for name, each in found.counts.items()}
            if wrong is not None and stepped[0] <= wrong < stepped[0] + len(inputs):
                counts["p"][wrong - stepped[0], 2] += 1
            stepped[0] += len(inputs)
            return dataclasses.replace(found, counts=counts)

        engines = {"count": ENGINES["count"], "step": Engine("step", run)}
        monkeypatch.setattr(ladder, "ENGINES", engines)
        monkeypatch.setattr(ladder.time, "monotonic", lambda: clock[0])
        found = ladder.climb(ladder.Route(program=program), samples, lambda *_: None)
        return next(rung for rung in found.rungs if rung.rung == "step")

    return climb


@pytest.mark.parametrize(
    ("seconds_each", "stepped", "why"),
    [
        (0.0, SAMPLES, ""),
        (0.15, SAMPLES, ""),
        (0.25, 16, "16 of 20 samples in 4 s"),
        (0.5, 8, "8 of 20 samples in 4 s"),
        (2.0, 4, "4 of 20 samples in 8 s"),
    ],
)
def test_as_many_samples_are_stepped_as_there_is_time_for(climbed, seconds_each, stepped, why):
    rung = climbed(seconds_each)

    assert (rung.status, rung.samples, rung.why) == ("ok", stepped, why)


@pytest.mark.parametrize("sample", [1, 6, 15])
def test_a_difference_is_found_in_whichever_part_it_is(climbed, sample):
    rung = climbed(0.25, wrong=sample)

    assert rung.status == "broken"
    assert f"population 'p', neuron (2,), sample {sample}:" in rung.first_difference


def test_nothing_is_kept_of_a_network_that_has_been_climbed(program, samples):
    alone = Program(program.graph.swap(), program.circuit)
    graph = weakref.ref(alone.graph)
    ladder.climb(ladder.Route(program=alone), samples, lambda *_: None)

    del alone
    gc.collect()

    assert graph() is None
