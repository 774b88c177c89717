"""A stage runs as the reference says, whatever it takes over from the stage above."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense
from toolchain.ir.reference import answers_of, counts_of, evaluate
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import compile_network, random_network, random_samples
from toolchain.verification import stage_run
from toolchain.verification.stage_run import run_stage


def stages_of(random, lowering):
    network = random_network(random)
    x = random_samples(network, random, 4)
    levels = random.randint(1, 15)
    try:
        return x, compile_network(
            network, x, TARGETS["loihi2"], levels=levels, lowering=lowering
        )
    except ConversionError:
        return x, None


def assert_as_the_reference(run, graph, x):
    values = evaluate(graph, x)
    np.testing.assert_array_equal(run.y, answers_of(graph, values))
    assert list(run.counts) == [node.name for node in graph.of_type(Spiking)]
    for name, counts in run.counts.items():
        np.testing.assert_array_equal(counts, counts_of(values[name]))


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
@given(st.randoms())
def test_every_stage_gives_what_the_reference_gives(lowering, random):
    x, stages = stages_of(random, lowering)
    if stages is None:
        return

    converted = run_stage(stages.converted, x, below=stages.lowered)
    lowered = run_stage(stages.lowered, x, above=converted, below=stages.quantized)
    quantized = run_stage(stages.quantized, x, above=lowered)

    assert_as_the_reference(converted, stages.converted, x)
    assert_as_the_reference(lowered, stages.lowered, x)
    assert_as_the_reference(quantized, stages.quantized, x)


def compiled(random, lowering="temporal"):
    """Return samples and stages of the first network that can be converted."""
    while True:
        x, stages = stages_of(random, lowering)
        if stages is not None and stages.lowered.of_type(Spiking):
            return x, stages


@given(st.randoms())
def test_layers_behind_other_counts_are_run_again(random):
    x, stages = compiled(random)
    first = stages.lowered.of_type(Spiking)[0]
    changed = stages.lowered.swap(dataclasses.replace(first, initial=first.initial + 0.4))

    converted = run_stage(stages.converted, x, below=changed)
    run = run_stage(changed, x, above=converted)

    assert_as_the_reference(run, changed, x)


@given(random=st.randoms())
def test_layers_that_both_stages_have_are_run_once(monkeypatch_module, random):
    x, stages = compiled(random)
    converted = run_stage(stages.converted, x, below=stages.lowered)
    computed = []

    def output_of(node, *inputs):
        computed.append(node)
        return original(node, *inputs)

    original = stage_run.output_of
    with monkeypatch_module.context() as patch:
        patch.setattr(stage_run, "output_of", output_of)
        run_stage(stages.lowered, x, above=converted)

    assert not [node for node in computed if isinstance(node, (Dense, Conv))]


@pytest.fixture(scope="module")
def monkeypatch_module():
    return pytest.MonkeyPatch
