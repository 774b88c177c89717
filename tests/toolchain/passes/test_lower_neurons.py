"""lower-neurons turns counts into single spikes and loses none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.errors import ConversionError, VerifyError
from toolchain.ir.ann import Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import evaluate, run
from toolchain.ir.snn import (
    IntegrateFire,
    MultiThreshold,
    OrPool,
    RadixFire,
    RadixPool,
    Spiking,
    ThresholdBank,
)
from toolchain.ir.train import Train
from toolchain.passes.lower_neurons import LOWERINGS, lower_neurons
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import (
    after_phase,
    chain,
    compile_network,
    random_network,
    random_samples,
)

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


def context(lowering):
    return dataclasses.replace(CONTEXT, lowering=lowering)


def converted():
    neurons = MultiThreshold(
        name="act", levels=4, initial=np.asarray(0.5), unit=np.array([[[3.0]]])
    )
    return chain(
        (1, 4, 4),
        Conv(name="conv", weight=np.ones((1, 1, 1, 1))),
        neurons,
        MaxPool(name="pool", kernel=(2, 2), stride=(2, 2)),
        Rearrange(name="flat", shape=(4,)),
        Dense(name="last", weight=np.ones((2, 4))),
    ).at_phase(Phase.CONVERT)


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_the_function_is_kept(lowering, random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    levels = random.randint(1, 31)
    try:
        stages = compile_network(network, x, CONTEXT.target, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)

    np.testing.assert_array_equal(run(stages.lowered, x), run(stages.converted, x))


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_what_is_sent_is_sorted(lowering, random):
    x = np.random.default_rng(random.getrandbits(32)).normal(size=(3, 1, 4, 4)) * 4

    values = evaluate(lower_neurons(converted(), context(lowering)), x)

    for train in (values["act"], values["pool"]):
        assert isinstance(train, Train)
        assert np.all(train.spikes[1:] <= train.spikes[:-1])


@pytest.mark.parametrize(
    ("lowering", "kind", "pool"),
    [
        ("temporal", IntegrateFire, OrPool),
        ("spatial", ThresholdBank, OrPool),
        ("radix", RadixFire, RadixPool),
    ],
)
def test_every_field_of_the_neurons_is_kept(lowering, kind, pool):
    graph = converted()

    lowered = lower_neurons(graph, context(lowering))

    for name, wanted in (("act", kind), ("pool", pool)):
        assert type(lowered[name]) is wanted
        for field in dataclasses.fields(graph[name]):
            assert getattr(lowered[name], field.name) is getattr(graph[name], field.name)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_layers_are_left_alone(lowering):
    graph = converted()

    lowered = lower_neurons(graph, context(lowering))

    for name in ("x", "conv", "flat", "last", "y"):
        assert lowered[name] is graph[name]


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_twice_is_once(lowering):
    lowered = lower_neurons(converted(), context(lowering))

    assert lower_neurons(lowered, context(lowering)) is lowered


def test_a_graph_that_was_not_converted_is_left_alone_and_refused():
    graph = chain(
        (2,),
        Dense(name="first", weight=np.ones((2, 2))),
        Relu(name="act"),
        Dense(name="last", weight=np.ones((2, 2))),
    )

    assert lower_neurons(graph, CONTEXT) is graph
    with pytest.raises(VerifyError) as error:
        after_phase(graph, Phase.LOWER, CONTEXT)

    assert error.value.node == "act"


def test_every_lowering_has_its_neurons():
    for neurons, pool in LOWERINGS.values():
        assert issubclass(neurons, Spiking)
        assert issubclass(pool, MaxPool)


def test_windows_are_refused_in_binary():
    graph = converted()
    lateral = np.zeros((2, 2, 1))
    two = dataclasses.replace(graph["act"], windows=2, lateral=lateral)

    with pytest.raises(VerifyError) as error:
        lower_neurons(graph.swap(two), context("radix"))

    assert error.value.node == "act"
    assert error.value.problem == "has 2 windows; the radix lowering knows neurons of one"
    assert error.value.hint == "compile with --lowering temporal"
