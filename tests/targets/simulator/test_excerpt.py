"""A part of a circuit does what the whole circuit does there."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from targets.simulator._excerpt import all_before, alone, told
from targets.simulator.step import simulate
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Source,
    SparseSynapse,
    Window,
)

STEPS = 6


def convolution(numbers):
    """A convolution of any geometry into neurons of any registers."""
    stride, padding, dilation = (tuple(numbers.integers(1, 3, 2).tolist()) for _ in range(3))
    groups = int(numbers.choice([1, 2]))
    kernel = numbers.integers(1, 4, 2).tolist()
    weight = numbers.integers(-127, 128, (4, 4 // groups, *kernel))
    size = [
        (7 + 2 * p - d * (k - 1) - 1) // s + 1
        for p, d, k, s in zip(padding, dilation, kernel, stride, strict=True)
    ]
    synapse = ConvSynapse(
        name="conv",
        source="in",
        target="out",
        weight=weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return synapse, (4, *size)


def circuit_of(numbers):
    """A convolution beside a dense and a sparse synapse, into one population."""
    conv, shape = convolution(numbers)
    neurons = int(np.prod(shape))
    dense = 2 * numbers.integers(-60, 60, (neurons, 3))
    delay = numbers.integers(0, 3, (neurons, 3))
    return Circuit(
        name="parts",
        sources=(Source(name="in", shape=(4, 7, 7)), Source(name="gate", shape=(3,))),
        populations=(
            Lif(
                name="out",
                shape=shape,
                threshold=numbers.integers(0, 200, (4, 1, 1)),
                decay_u=numbers.integers(0, 4097, shape),
                decay_v=int(numbers.integers(0, 4097)),
                bias_mantissa=numbers.integers(-50, 50, shape),
            ),
        ),
        synapses=(
            conv,
            DenseSynapse(name="dense", source="gate", target="out", weight=dense, delay=delay),
            SparseSynapse(
                name="sparse",
                source="gate",
                target="out",
                weight=scipy.sparse.csr_matrix(np.abs(dense)),
                weight_exponent=1,
            ),
        ),
        inputs=("in",),
        period=9,
        latency=9,
    )


@given(st.integers(0, 2**32))
def test_some_neurons_do_what_they_do_among_all(seed):
    numbers = np.random.default_rng(seed)
    circuit = circuit_of(numbers)
    neurons = int(np.prod(circuit.nodes["out"].shape))
    chosen = tuple(numbers.permutation(neurons)[:5].tolist())
    inputs = {
        "in": numbers.integers(0, 2, (2, STEPS, 4, 7, 7)),
        "gate": numbers.integers(0, 2, (2, STEPS, 3)),
    }
    record = {"out": ("u", "v", "spikes")}

    part = simulate(alone(circuit, "out", chosen, ()), inputs, STEPS, record=record)

    whole = simulate(circuit, inputs, STEPS, record=record)
    for register in record["out"]:
        wanted = getattr(whole, register)["out"].reshape(2, STEPS, -1)[:, :, chosen]
        np.testing.assert_array_equal(getattr(part, register)["out"], wanted)


@pytest.fixture
def row():
    """Four populations in a row; the second only passes spikes on."""
    lif = Lif(name="a", shape=(2,), threshold=0, decay_u=4096, decay_v=4096)
    names = ("in", "a", "relay", "b", "c")
    return Circuit(
        name="row",
        sources=(Source(name="in", shape=(2,)),),
        populations=tuple(dataclasses.replace(lif, name=name) for name in names[1:]),
        synapses=tuple(
            DenseSynapse(
                name=f"{source}-{target}",
                source=source,
                target=target,
                weight=np.eye(2, dtype=int),
            )
            for source, target in itertools.pairwise(names)
        ),
        inputs=("in",),
        period=9,
        latency=9,
        windows={"a": Window(1, 1), "b": Window(3, 1), "c": Window(4, 1)},
    )


def names_of(nodes):
    return [node.name for node in nodes]


def test_a_population_alone_is_told_what_the_one_before_a_relay_has_sent(row):
    part = alone(row, "b", (), {"a", "b", "c"})

    assert names_of(part.populations) == ["relay", "b"]
    assert names_of(part.sources) == ["in", told("a")]
    assert [synapse.source for synapse in part.synapses] == [told("a"), "relay"]


def test_all_before_a_population_is_nothing_behind_it(row):
    part = all_before(row, ["b"])

    assert names_of(part.populations) == ["a", "relay", "b"]
    assert set(part.windows) == {"a", "b"}
