"""quantize-parameters finds the finest integers that the target's registers hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.calibration import Calibration
from toolchain.errors import ConversionError, RangeError, VerifyError
from toolchain.ir.ann import Conv, Dense, Encoding, Input, Rearrange
from toolchain.ir.graph import Phase
from toolchain.ir.narrow import narrowed
from toolchain.ir.reference import compute, counts_of, evaluate, run
from toolchain.ir.snn import (
    IntegrateFire,
    MultiThreshold,
    OrPool,
    RadixFire,
    Spiking,
    ThresholdBank,
)
from toolchain.ir.verify import verify_phase
from toolchain.passes.quantize_parameters import quantize_parameters
from toolchain.registers import largest_weight
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import (
    chain_from,
    compile_network,
    random_network,
    random_samples,
)

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=4, method="maximum", lowering="temporal")
KINDS = {"temporal": IntegrateFire, "spatial": ThresholdBank, "radix": RadixFire}
LOWERINGS = list(KINDS)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def entry(*shape, low=0, high=255):
    encoding = Encoding(1 / high, low, high)
    return Input(name="x", shape=shape, source_shape=shape, encoding=encoding)


def lowered(lowering, weight, *, bias=0.0, levels=4, high=255, last=None):
    """A dense layer of neurons with threshold 1, and a last one."""
    neurons = KINDS[lowering](name="act", levels=levels, initial=np.asarray(0.5))
    return chain_from(
        entry(weight.shape[1], high=high),
        Dense(name="dense", weight=weight, bias=np.asarray(bias, float)),
        neurons,
        Dense(name="last", weight=numbers(2, len(weight)) if last is None else last),
    ).at_phase(Phase.LOWER)


def quantized(graph, context=CONTEXT):
    found = quantize_parameters(graph, context).at_phase(Phase.QUANTIZE)
    verify_phase(found)
    return found


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_potentials_are_rounded_and_nothing_else(lowering, random):
    """For the same spikes before it, a potential is off by half a unit for each of them."""
    network = random_network(random)
    x = random_samples(network, random, 4)
    try:
        stages = compile_network(
            network, x, TARGET, levels=random.randint(1, 31), lowering=lowering
        )
    except ConversionError:
        assume(False)

    graph = quantize_parameters(stages.lowered, stages.context)
    values = evaluate(graph, x)
    for neurons in graph.of_type(Spiking):
        layer = graph.producer(neurons)
        sent = counts_of(values[layer.inputs[0]])
        found = values[layer.name] + neurons.initial
        exact = compute(stages.lowered[layer.name], sent) + 0.5
        spread = dataclasses.replace(
            layer, weight=np.full_like(layer.weight, 0.5, float), bias=0.5
        )
        allowed = compute(spread, np.abs(sent))
        assert np.all(np.abs(found - neurons.threshold * exact) <= allowed + 1e-6)


def most_off(weight):
    """Return how far rounding moves weights: half an integer, more in a run of equal ones."""
    rows = weight.reshape(len(weight), -1)
    is_equal = np.pad(rows[:, 1:] == rows[:, :-1], ((0, 0), (1, 1)))
    in_run = is_equal[:, 1:] | is_equal[:, :-1]
    return np.where(in_run, 1.0, 0.5).reshape(weight.shape)


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_the_last_layer_is_rounded_and_nothing_else(lowering, random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    try:
        stages = compile_network(network, x, TARGET, levels=7, lowering=lowering)
    except ConversionError:
        assume(False)

    graph, output = stages.quantized, stages.quantized.output
    layer = graph.producer(output)
    sent = counts_of(evaluate(graph, x)[layer.inputs[0]])
    found = compute(layer, sent) * output.scale
    exact = compute(stages.lowered[layer.name], sent)
    spread = dataclasses.replace(layer, weight=most_off(stages.lowered[layer.name].weight))
    allowed = compute(spread, np.abs(sent)) * output.scale
    assert np.all(np.abs(found - exact) <= allowed * (1 + 1e-6) + 1e-9)
    assert np.abs(layer.weight).max() <= largest_weight(layer, TARGET)


@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_everything_is_an_integer_in_its_range(lowering, random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    levels = random.randint(1, 31)
    try:
        stages = compile_network(network, x, TARGET, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)

    for node in stages.quantized:
        if isinstance(node, (Dense, Conv)):
            assert node.weight.dtype == narrowed(node.weight.astype(np.int64)).dtype
            if lowering != "radix":
                assert np.abs(node.weight).max() <= largest_weight(node, TARGET)
        if isinstance(node, Spiking):
            assert node.threshold.min() >= 1
            np.testing.assert_array_equal(node.initial, node.threshold // 2)
            assert node.bound in ("proved", "observed")
            assert node.low.min() >= 0
            most = TARGET.state_max if lowering == "radix" else TARGET.current_max
            assert max(node.low.max(), node.high.max()) <= most


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_the_largest_weight_of_each_channel_fills_its_mantissa(lowering):
    weight = numbers(6, 8)

    found = quantized(lowered(lowering, weight, high=15))

    per_channel = np.abs(found["dense"].weight).max(axis=1)
    scale = found["act"].threshold * np.abs(weight).max(axis=1)
    assert np.all(scale > 127 - 2 * np.abs(weight).max(axis=1))
    assert np.all(per_channel >= 120)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_weights_of_zero_take_the_middle_resolution(lowering):
    weight = np.array([[0.5, 0.1], [0.0, 0.0], [0.25, -0.2]])

    found = quantized(lowered(lowering, weight, bias=[0.0, 0.4, 0.0]))

    threshold = found["act"].threshold.ravel()
    assert threshold[0] < threshold[1] < threshold[2]


def test_in_time_one_synapse_exponent_holds_all_thresholds():
    found = quantized(lowered("temporal", np.array([[0.05, 0.01], [0.08, 0.02]])))

    threshold = found["act"].threshold.ravel()
    exponent = int(threshold.max()).bit_length() - 7
    assert exponent > 0
    assert not np.any(threshold % 2**exponent)


def test_thresholds_far_apart_keep_their_resolution():
    found = quantized(lowered("temporal", np.array([[0.005, 0.001], [1.0, 0.2]]), high=1))

    threshold = found["act"].threshold.ravel()
    assert threshold[0] > 100 * threshold[1]
    assert threshold[1] == 127


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_bias_of_each_neuron_is_kept(lowering):
    neurons = KINDS[lowering](name="act", levels=4, initial=np.asarray(0.5))
    bias = numbers(3, 4, 4)
    graph = chain_from(
        entry(2, 5, 5),
        Conv(name="conv", weight=numbers(3, 2, 2, 2), bias=bias),
        neurons,
        Conv(name="last", weight=numbers(1, 3, 1, 1)),
    ).at_phase(Phase.LOWER)

    found = quantized(graph)

    scaled = (bias + 0.5) * found["act"].threshold
    whole = found["conv"].bias + found["act"].initial
    assert whole.shape == (3, 4, 4)
    np.testing.assert_array_equal(whole, np.rint(scaled))


CROWD = np.full((3, 600), 0.02)
"""So many inputs that the register, not the mantissa, limits the resolution."""


def few_samples(graph):
    """Return a context that has seen little of what could happen."""
    x = np.zeros((4, *graph.input.source_shape))
    x[1:, :20] = 1.0
    return dataclasses.replace(CONTEXT, calibration=Calibration(x))


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_sums_are_proved_without_samples(lowering):
    found = quantized(lowered(lowering, CROWD, high=15))

    assert found["act"].bound == "proved"
    np.testing.assert_array_equal(found["act"].high, 15 * found["dense"].weight.sum(axis=1))


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_sums_are_observed_where_proof_costs_more_than_a_bit(lowering):
    graph = lowered(lowering, CROWD, high=15)
    context = few_samples(graph)

    proved, found = quantized(graph), quantized(graph, context)

    assert found["act"].bound == "observed"
    assert np.all(found["act"].threshold.ravel() > 2 * proved["act"].threshold.ravel())
    seen = evaluate(found, context.calibration.x)["dense"].max(axis=0) - found["dense"].bias
    assert np.all(found["act"].high >= 1.2 * seen)
    assert np.all(found["act"].high <= 1.3 * seen)


def test_neither_proof_nor_sharing_hides_what_the_other_costs():
    """Each alone seems to cost nothing here, because the other one does."""
    graph = lowered("spatial", CROWD, levels=15, high=15)

    found = quantized(graph, few_samples(graph))

    assert found["act"].bound == "observed"
    assert found["dense"].weight.min() > 100


def test_a_constant_that_no_bias_register_holds_is_held_by_thresholds():
    """A channel far below its threshold, as those that are hardly ever active are."""
    graph = lowered("spatial", np.array([[7.9, -7.9], [0.02, 0.01]]), bias=[-4380.0, 0.1])

    found = quantized(graph)

    assert found["dense"].bias[0] < -TARGET.bias_max
    assert found["act"].threshold.ravel()[0] == 16


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_sums_are_proved_where_that_costs_little(lowering):
    graph = lowered(lowering, numbers(3, 8), high=15)

    assert quantized(graph, few_samples(graph))["act"].bound == "proved"


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_twice_is_once(lowering):
    found = quantized(lowered(lowering, numbers(3, 8)))

    assert quantize_parameters(found, CONTEXT) is found


def test_what_has_no_parameters_is_left_alone():
    pool = OrPool(name="pool", kernel=(2, 2), stride=(2, 2))
    graph = chain_from(
        entry(1, 4, 4),
        Conv(name="conv", weight=numbers(2, 1, 1, 1)),
        IntegrateFire(name="act", levels=2, initial=np.asarray(0.5)),
        pool,
        Rearrange(name="flat", shape=(8,)),
        Dense(name="last", weight=numbers(2, 8)),
    ).at_phase(Phase.LOWER)

    found = quantized(graph)

    for name in ("x", "pool", "flat"):
        assert found[name] is graph[name]


def test_many_levels_need_no_more_than_a_current_holds():
    last = np.ones((1, 1000))
    graph = lowered("temporal", numbers(1000, 2), levels=31, last=last)

    found = quantized(graph)

    assert 31 * np.abs(found["last"].weight).sum() <= TARGET.current_max


def test_outputs_of_zero_are_zero():
    found = quantized(lowered("temporal", numbers(3, 2), last=np.zeros((2, 3))))

    assert not run(found, numbers(4, 2)).any()


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_weights_too_large_for_a_threshold_are_refused_by_name(lowering):
    weight = np.array([[0.5, 128.0]])

    with pytest.raises(RangeError) as error:
        quantized(lowered(lowering, weight))

    assert str(error.value) == (
        "quantize at 'act': a threshold would be below 1: weights are too large against it, or "
        "sums too large for a current of at most 131071\n"
        "  hint: lower --levels, or calibrate on more samples"
    )


def test_a_last_layer_with_too_many_inputs_is_refused_by_name():
    graph = lowered("temporal", numbers(1100, 2), levels=255, last=1.0 + np.arange(1100)[None])

    with pytest.raises(RangeError) as error:
        quantized(graph)

    assert str(error.value) == (
        "quantize at 'last': an output sums 1100 inputs of up to 255; a current holds at most "
        "131071\n  hint: lower --levels, or make the last layer smaller"
    )


def test_a_run_of_equal_weights_is_off_by_half_an_integer_in_all():
    last = np.repeat(numbers(3, 20, seed=1), 49, axis=1)
    graph = lowered("temporal", numbers(980, 2), levels=15, last=last)

    found = quantized(graph)

    scale = np.broadcast_to(found.output.scale.ravel(), 3)[:, None]
    runs = found["last"].weight.reshape(3, 20, 49).sum(axis=2)
    assert np.abs(runs - last[:, ::49] * 49 / scale).max() <= 0.5
    assert np.abs(found["last"].weight - last / scale).max() < 1


def test_a_network_that_was_not_lowered_is_refused_by_name():
    graph = lowered("temporal", numbers(3, 2))
    graph = graph.swap(
        MultiThreshold(name="act", inputs=("dense",), levels=4, initial=np.array(0.5))
    )

    with pytest.raises(VerifyError, match="MultiThreshold is left after quantize") as error:
        quantized(dataclasses.replace(graph, source_nodes=()))

    assert error.value.node == "act"
