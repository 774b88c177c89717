"""convert-to-spikes swaps rectifiers for staircases, and nothing else changes the function."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.calibration import Activation, Calibration, calibrate
from toolchain.errors import ConversionError, UnknownNameError, VerifyError
from toolchain.ir.ann import Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.archive import load_archive, save_archive
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import compute, encode, run, spike_counts
from toolchain.ir.snn import MultiThreshold
from toolchain.passes.convert_to_spikes import convert_to_spikes
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


def numbers(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def network():
    return chain(
        (2, 5, 5),
        Conv(name="conv", weight=numbers(4, 2, 2, 2), bias=numbers(4, 1, 1)),
        Relu(name="relu1"),
        MaxPool(name="pool", kernel=(2, 2), stride=(2, 2)),
        Rearrange(name="flat", shape=(16,)),
        Dense(name="dense", weight=numbers(5, 16), bias=numbers(5)),
        Relu(name="relu2"),
        Dense(name="last", weight=numbers(3, 5), bias=numbers(3)),
    ).at_phase(Phase.PREPARE)


SAMPLES = np.random.default_rng(9).normal(size=(8, 2, 5, 5))


def calibrated(graph=None, x=SAMPLES, **changes):
    found = calibrate(graph or network(), x)
    return dataclasses.replace(CONTEXT, calibration=found, **changes)


def with_staircases(prepared, converted, levels, x):
    """Run the analogue network on what was encoded, a staircase behind each rectifier.

    No sum is as close to an edge of its staircase as weights in float32 could tell.
    """
    entry = converted.input
    value = encode(entry, x) * entry.encoding.scale
    for node in prepared.nodes[1:]:
        value = compute(node, value)
        if isinstance(node, Relu):
            unit = converted[node.name].unit
            steps = value / unit + 0.5
            assume(np.abs(steps - np.rint(steps)).min() > 1e-5)
            value = unit * np.clip(np.floor(steps), 0, levels)
    return value


@given(st.randoms())
def test_nothing_but_the_staircase_changes_the_function(random):
    levels = random.randint(1, 31)
    context = dataclasses.replace(CONTEXT, levels=levels, method="percentile")
    prepared = after_phase(random_network(random), Phase.PREPARE, context)
    x = random_samples(prepared, random, 6)
    try:
        context = dataclasses.replace(context, calibration=calibrate(prepared, x))
    except ConversionError:
        assume(False)

    converted = convert_to_spikes(prepared, context)

    wanted = with_staircases(prepared, converted, levels, x)
    tolerance = 1e-6 * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(run(converted, x), wanted, rtol=0, atol=tolerance)


def test_many_levels_come_close_to_the_analogue_network():
    graph = network()

    errors = [
        np.abs(
            run(convert_to_spikes(graph, calibrated(levels=levels)), SAMPLES)
            - run(graph, SAMPLES)
        ).max()
        for levels in (4, 32, 256, 2048)
    ]

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * np.abs(run(graph, SAMPLES)).max()


def test_every_neuron_has_threshold_one_and_starts_at_a_half():
    converted = convert_to_spikes(network(), calibrated())

    for neurons in converted.of_type(MultiThreshold):
        assert (neurons.levels, neurons.threshold, neurons.initial) == (4, 1, 0.5)


def test_the_bias_of_the_last_layer_goes_to_the_host():
    graph = network()

    converted = convert_to_spikes(graph, calibrated())

    assert not np.any(converted["last"].bias)
    np.testing.assert_allclose(converted["y"].offset, graph["last"].bias, rtol=1e-6)


def test_what_only_passes_counts_on_is_left_alone():
    graph = network()

    converted = convert_to_spikes(graph, calibrated())

    assert converted["pool"] is graph["pool"]
    assert converted["flat"] is graph["flat"]


def test_every_node_of_the_model_stays_accounted_for():
    graph = network()

    converted = convert_to_spikes(graph, calibrated())

    assert [(n.name, n.inputs, n.origin) for n in converted] == [
        (n.name, n.inputs, n.origin) for n in graph
    ]


def test_twice_is_once():
    context = calibrated()
    converted = convert_to_spikes(network(), context)

    assert convert_to_spikes(converted, context) is converted


def test_counts_reach_the_levels_and_not_beyond():
    converted = convert_to_spikes(network(), calibrated(levels=3))

    counts = spike_counts(converted, SAMPLES)["relu1"]

    assert set(np.unique(counts)) == {0, 1, 2, 3}


def given_statistics(maximum, **changes):
    """Calibrate the second rectifier to have seen these maxima."""
    context = calibrated(**changes)
    maximum = np.asarray(maximum, float)
    seen = Activation(maximum, maximum / 2, maximum[:, None].astype(np.float32))
    activations = {**context.calibration.activations, "relu2": seen}
    calibration = Calibration(context.calibration.x, activations)
    return dataclasses.replace(context, calibration=calibration)


def test_thresholds_are_those_of_the_method():
    context = given_statistics([8.0, 12.0, 16.0, 20.0, 24.0])

    converted = convert_to_spikes(network(), context)

    np.testing.assert_allclose(converted["relu2"].unit, [2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("outgoing", "threshold"),
    [
        (1, 4),
        (0.5, 4),
        (2, 2),
        (0, 4),
    ],
)
def test_a_channel_that_is_never_active_takes_the_middle_threshold_or_weighs_no_more(
    outgoing, threshold
):
    context = given_statistics([0.0, 12.0, 16.0, 24.0, 0.0])
    weight = np.ones((3, 5))
    weight[:, 0] = outgoing
    graph = network()
    graph = graph.swap(dataclasses.replace(graph["last"], weight=weight))

    converted = convert_to_spikes(graph, context)

    np.testing.assert_allclose(converted["relu2"].unit, [threshold, 3, 4, 6, 4])


def test_pieces_of_a_function_saturate_where_they_end_however_large_their_weights():
    widths = np.array([0.25, 0.5, np.inf, 0.01])
    graph = network()
    relu = dataclasses.replace(graph["relu1"], maximum=widths.reshape(-1, 1, 1))
    graph = graph.swap(relu)

    unit = convert_to_spikes(graph, calibrated(graph))["relu1"].unit.ravel()

    np.testing.assert_allclose(4 * unit[[0, 1, 3]], widths[[0, 1, 3]])
    assert 4 * unit[2] > 1


def test_a_threshold_stays_resolvable_for_the_weights_of_the_target():
    context = given_statistics([1e-9] * 5)

    converted = convert_to_spikes(network(), context)

    largest = np.abs(converted["dense"].weight).max(axis=1)
    np.testing.assert_allclose(largest, CONTEXT.target.weight_max / 16)


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_a_bias_far_above_all_activity_does_not_keep_a_network_off_the_chip(lowering):
    """One channel that is nearly dead must not cost the others anything."""
    graph = chain(
        (2,),
        Dense(
            name="dense", weight=np.array([[-0.9993, 0.0123], [1, 1]]), bias=np.array([1.0, 0])
        ),
        Relu(name="relu"),
        Dense(name="last", weight=np.ones((1, 2))),
    )
    x = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.5]])

    stages = compile_network(graph, x, CONTEXT.target, levels=15, lowering=lowering)

    assert stages.quantized["relu"].threshold.ravel()[0] >= 12
    np.testing.assert_allclose(
        run(stages.quantized, x), run(graph, x), atol=0.5 * 2 / 15 + 0.005
    )


def test_an_uncalibrated_network_is_refused():
    with pytest.raises(ConversionError) as error:
        convert_to_spikes(network(), CONTEXT)

    assert str(error.value) == (
        "convert: there are no calibration samples to choose thresholds from"
    )


def test_an_unknown_method_is_refused():
    with pytest.raises(UnknownNameError) as error:
        convert_to_spikes(network(), calibrated(method="maximun"))

    assert str(error.value) == (
        "look-up: no method is called 'maximun'; known: maximum, mmse, percentile\n"
        "  hint: did you mean 'maximum'?"
    )


def test_a_network_that_was_not_prepared_is_refused_by_name():
    graph = chain((2,), Dense(name="dense", weight=numbers(3, 2)), Relu(name="relu"))

    with pytest.raises(VerifyError) as error:
        after_phase(
            graph.at_phase(Phase.PREPARE), Phase.CONVERT, calibrated(graph, SAMPLES[:, :, 0, 0])
        )

    assert error.value.node == "y"


def test_a_network_whose_output_has_no_bias_can_be_kept(tmp_path):
    prepared = chain(
        (2,),
        Dense(name="first", weight=numbers(3, 2)),
        Relu(name="relu"),
        Dense(name="last", weight=numbers(2, 3)),
    ).at_phase(Phase.PREPARE)
    context = calibrated(prepared, np.random.default_rng(9).normal(size=(8, 2)))
    converted = convert_to_spikes(prepared, context)

    save_archive(converted, tmp_path / "graph.npz")

    kept = load_archive(tmp_path / "graph.npz", Graph)
    np.testing.assert_array_equal(kept.output.offset, converted.output.offset)
