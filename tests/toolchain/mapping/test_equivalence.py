"""From conversion on nothing is lost: counts, outputs and registers agree in every phase.

Random networks go through all phases in every lowering. Lowering is exact; the quantized
network has one meaning, whether single spikes are followed (`reference`), counts alone
(`counts`) or every register at every time step (``targets.simulator.step``).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples, run_stream
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, MaxPool, Relu
from toolchain.ir.counts import sweep
from toolchain.ir.mapped import ConvSynapse, DenseSynapse, Lif, SparseSynapse
from toolchain.ir.radix import Radix
from toolchain.ir.reference import decode, encode, evaluate, run
from toolchain.ir.snn import Spiking
from toolchain.registers import largest_weight
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_network,
    random_samples,
    samples_of,
)

TARGET = TARGETS["loihi2"]
LOWERINGS = ["temporal", "spatial", "radix"]
SAMPLES = 6
ONE_UNIT = {"temporal": 64, "spatial": 64, "radix": 1}
"""What a weight unit is in the registers ``u`` and ``v``."""


def compiled(random, lowering):
    """Draw a network with samples and take it through all phases."""
    network = random_network(random)
    x = random_samples(network, random, SAMPLES)
    method = random.choice(("maximum", "mmse", "percentile"))
    levels = random.randint(1, 31)
    try:
        stages = compile_network(
            network, x, TARGET, levels=levels, lowering=lowering, method=method
        )
    except ConversionError:
        assume(False)
    return stages, x


def is_proved(graph):
    return all(node.bound == "proved" for node in graph.of_type(Spiking))


def worst_of(stages, x, random):
    """Return the samples, and where every sum is proved also inputs at their extremes."""
    graph = stages.quantized
    if not is_proved(graph):
        event("observed")
        return x
    extremes = samples_of(graph.input, extreme_inputs(graph, random, 8))
    return np.concatenate([x, extremes])


def counted(graph, x):
    return {node.name: after for node, _, after in sweep(graph, x)}


def total(of_nodes):
    return {name: int(values.sum()) for name, values in of_nodes.items() if values.any()}


def check_lowering(random, lowering):
    stages, x = compiled(random, lowering)

    found, wanted = evaluate(stages.lowered, x), evaluate(stages.converted, x)

    for node in stages.lowered.of_type(Spiking):
        np.testing.assert_array_equal(found[node.name].counts, wanted[node.name])
    np.testing.assert_array_equal(run(stages.lowered, x), run(stages.converted, x))


def check_circuit(random, lowering):
    stages, x = compiled(random, lowering)
    graph = stages.quantized
    x = worst_of(stages, x, random)
    values, counts = evaluate(graph, x), counted(graph, x)
    encoded = encode(graph.input, x).astype(np.int64)

    result = run_samples(stages.circuit, encoded)

    spiking = [node.name for node in graph if isinstance(node, (Spiking, MaxPool))]
    assert set(result.counts) >= set(spiking)
    for name in spiking:
        np.testing.assert_array_equal(counts[name], values[name].counts)
        np.testing.assert_array_equal(result.counts[name], counts[name])
    last = counts[graph.producer(graph.output).name]
    assert 1 << stages.circuit.readout.shift == ONE_UNIT[lowering]
    np.testing.assert_array_equal(result.readout, last * ONE_UNIT[lowering])
    outputs = decode(graph.output, result.readout / ONE_UNIT[lowering])
    np.testing.assert_array_equal(outputs, run(graph, x))
    if lowering == "temporal":
        assert total(result.activity.spikes) == total(result.trace.activity.spikes)
    if is_proved(graph):
        assert total(result.activity.wraps) == {}
        assert total(result.activity.saturations) == {}


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_lowering_is_exact(lowering, random):
    check_lowering(random, lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=60)
@given(st.randoms())
def test_every_time_step_gives_the_counts_of_the_reference(lowering, random):
    """No spike differs and no register overflows whose sums are proved.

    In time none comes outside of its window; without memory a bias may make neurons spike then.
    """
    check_circuit(random, lowering)


@pytest.mark.slow
@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=500)
@given(st.randoms())
def test_many_networks(lowering, random):
    check_circuit(random, lowering)


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=15)
@given(st.randoms())
def test_samples_one_after_the_other_do_not_disturb_each_other(lowering, random):
    """A chip is not reset by hand: what a sample leaves behind must not reach the next."""
    stages, x = compiled(random, lowering)
    x = worst_of(stages, x, random)
    encoded = encode(stages.quantized.input, x).astype(np.int64)

    stream = run_stream(stages.circuit, encoded)

    alone = run_samples(stages.circuit, encoded)
    np.testing.assert_array_equal(stream.readout, alone.readout)
    for name, counts in alone.counts.items():
        np.testing.assert_array_equal(stream.counts[name], counts)


def mantissas_of(synapse):
    weight = synapse.weight
    return weight.toarray() if isinstance(synapse, SparseSynapse) else weight


def check_synapse(synapse):
    weight = mantissas_of(synapse)
    if isinstance(synapse, ConvSynapse):
        assert -128 <= weight.min() <= weight.max() <= 127
        assert 1 <= synapse.groups <= TARGET.convolution_groups.value
        return
    assert isinstance(synapse, (DenseSynapse, SparseSynapse))
    if weight.min() < 0 < weight.max():
        assert not np.any(weight % 2)
        assert -256 <= weight.min() <= weight.max() <= 254
    else:
        assert np.abs(weight).max() <= 255
    assert -1 <= synapse.weight_exponent <= TARGET.weight_exponent.value


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_a_circuit_is_within_the_target(lowering, random):
    stages, _ = compiled(random, lowering)

    for node in stages.quantized:
        if isinstance(node, (Conv, Dense)) and lowering != "radix":
            assert np.abs(node.weight).max() <= largest_weight(node, TARGET)
    for source in stages.circuit.sources:
        assert source.message_bits <= TARGET.message_bits.value
    for population in stages.circuit.populations:
        if isinstance(population, Radix):
            assert np.max(population.threshold) << max(population.places - 1, 0) < 2**23
            assert np.max(np.abs(population.bias)) < 2**23
        if not isinstance(population, Lif):
            continue
        assert np.min(population.threshold) >= 0
        assert np.max(population.threshold) <= 2**17 - 1
        assert np.max(np.abs(population.bias_mantissa)) <= 2**12 - 1
        assert population.bias_exponent <= TARGET.bias_exponent.value
    for synapse in stages.circuit.synapses:
        check_synapse(synapse)


def crowd(random, inputs):
    """A network whose sums cannot be proved without losing most of the resolution."""
    numbers = np.random.default_rng(random.getrandbits(32))
    weight = np.abs(numbers.normal(size=(5, inputs))).astype(np.float32)
    graph = chain(
        (inputs,),
        Dense(name="dense", weight=weight - 0.2, bias=np.zeros(5)),
        Relu(name="relu"),
        Dense(name="last", weight=numbers.normal(size=(3, 5)).astype(np.float32)),
    )
    return graph, (numbers.random((SAMPLES, inputs)) < 0.05) * numbers.integers(0, 256, inputs)


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=5)
@given(st.randoms())
def test_observed_sums_hold_for_what_was_observed(lowering, random):
    graph, x = crowd(random, 12000 if lowering == "radix" else 2000)

    stages = compile_network(graph, x, TARGET, levels=3, lowering=lowering)

    assert stages.quantized["relu"].bound == "observed"
    result = run_samples(stages.circuit, encode(stages.quantized.input, x).astype(np.int64))
    np.testing.assert_array_equal(result.counts["relu"], counted(stages.quantized, x)["relu"])
    assert total(result.activity.wraps) == total(result.activity.saturations) == {}
