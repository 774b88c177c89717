"""Populations that promise their counts are found out when they do not keep them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.data import Samples
from toolchain.frontend.testing import import_proto, text_model
from toolchain.ir.counts import sweep
from toolchain.ir.graph import Graph
from toolchain.ir.reference import evaluate
from toolchain.ir.snn import Spiking
from toolchain.ir.staircase import Staircase, counts_steps
from toolchain.mapping import MAPPINGS
from toolchain.target import TARGETS
from toolchain.testing import compile_network
from toolchain.verification.analogue import climb_analogue
from toolchain.verification.kept_counts import (
    force_counts,
    is_one_level,
    is_tie,
    level_error,
)
from toolchain.verification.ladder import Program, Route, climb
from toolchain.verification.quantizers import quantizers
from toolchain.verification.source import spike_source
from toolchain.verification.stages import AnalogueStages
from toolchain.verification.ties import force

RANDOM = np.random.default_rng(0)
TEXT = """net (float[N, 8] x) => (float[N, 3] y) {
    a = QuantizeLinear (x, s, o)  b = DequantizeLinear (a, s, o)
    c = MatMul (b, w1)  d = QuantizeLinear (c, s, o)  e = DequantizeLinear (d, s, o)
    f = MatMul (e, w2)  g = QuantizeLinear (f, r, p)  y = DequantizeLinear (g, r, p) }"""
WEIGHTS = {
    "w1": RANDOM.integers(-7, 8, (8, 12)).astype(np.float32) / 16,
    "w2": RANDOM.integers(-7, 8, (12, 3)).astype(np.float32) / 16,
    "s": np.array(0.25, np.float32),
    "o": np.zeros((), np.uint8),
    "r": np.array(0.5, np.float32),
    "p": np.zeros((), np.int8),
}
X = RANDOM.integers(0, 256, (60, 8)).astype(np.float32) / 4
TARGET = TARGETS["loihi2"]


@pytest.fixture(scope="module")
def model():
    return import_proto(text_model(TEXT, **WEIGHTS))


@pytest.fixture(scope="module")
def stages(model):
    return compile_network(model.graph, X, TARGET, levels=3, lowering="radix")


def steps_of(stages):
    values = evaluate(stages.prepared, X)
    return {node.name: values[node.name] for node in stages.prepared.of_type(Staircase)}


def rungs(model, stages, **graphs):
    """Return the rungs of a ladder, some of whose graphs have been changed, by name."""
    known = {
        "imported": stages.prepared,
        "converted": stages.converted,
        "lowered": stages.lowered,
        "quantized": stages.quantized,
        **graphs,
    }
    quantized: Graph = known.pop("quantized")
    program = Program(quantized, MAPPINGS["radix"](quantized, TARGET), None)
    samples = Samples(X, None)
    analogue = climb_analogue(AnalogueStages(model, known.pop("imported")), samples)
    route = Route(program=program, analogue=analogue, graphs=known)
    found = climb(route, samples, lambda *_: None)
    return {rung.rung: rung for rung in found.rungs}


def raised(graph, by):
    """Return a graph whose population has a bias that is higher by so much."""
    (neurons,) = graph.of_type(Spiking)
    (layer,) = graph.layers_into(neurons)
    return graph.swap(dataclasses.replace(layer, bias=layer.bias + by))


def test_the_source_tells_the_steps_of_every_quantizer(model, stages):
    run = spike_source(model, stages.prepared)

    _, sent = run(X)

    assert (
        set(sent)
        == set(quantizers(stages.prepared))
        == {"x", *steps_of(stages), "QuantizeLinear:g"}
    )
    np.testing.assert_array_equal(sent["x"], np.rint(X * 4))
    for name, steps in steps_of(stages).items():
        np.testing.assert_array_equal(sent[name], steps)


def test_steps_that_differ_from_the_source_are_found_by_name(model, stages):
    _, sent = spike_source(model, stages.prepared)(X)
    for name in sent:
        wrong = {**sent, name: sent[name] + 3}

        found = force(stages.prepared, X, wrong, 1e-4)

        assert f"quantizer {name!r}, value (0,), sample 0" in found.difference


def test_a_step_more_is_a_tie_only_where_the_value_is_at_its_edge(model, stages):
    _, sent = spike_source(model, stages.prepared)(X)
    values = evaluate(stages.prepared, X)
    (name,) = steps_of(stages)
    current = values[stages.prepared[name].inputs[0]]
    is_half = (current % 1 == 0.5) & (current > 0) & (current < 255)
    assert is_half.sum() > 10
    up = np.where(is_half, np.floor(current) + 1, sent[name])

    assert force(stages.prepared, X, {name: up}, 1e-9).difference is None
    assert force(stages.prepared, X, {name: sent[name] + 1}, 1e-9).difference


def test_sums_between_two_steps_are_all_that_conversion_changes(stages):
    found = force_counts(stages.converted, X, steps_of(stages), is_tie)

    assert found.difference is None
    assert 0 < found.ties < found.counts / 8


def test_everything_else_that_conversion_changes_is_found(stages):
    found = force_counts(raised(stages.converted, 0.25), X, steps_of(stages), is_tie, 7)

    assert "sample 7" in found.difference


def test_one_level_is_forgiven_and_two_are_not(stages):
    counts = {n.name: c for n, _, c in sweep(stages.lowered, X) if isinstance(n, Spiking)}
    (neurons,) = stages.quantized.of_type(Spiking)
    theta = int(neurons.threshold.ravel()[0])

    for levels, is_forgiven in ((0, True), (1, True), (2, False)):
        moved = raised(stages.quantized, levels * theta)
        found = force_counts(moved, X, counts, is_one_level)
        assert (found.difference is None) == is_forgiven
        assert (found.ties > 0) == (levels > 0)


def test_a_network_of_rectifiers_counts_no_steps(stages):
    assert counts_steps(stages.prepared)
    without = dataclasses.replace(stages.prepared.input, encoding=None)
    assert not counts_steps(stages.prepared.swap(without))


def test_the_error_of_a_level_is_that_of_the_worst_population(stages):
    assert level_error(stages.lowered, stages.quantized) == 0
    (neurons,) = stages.quantized.of_type(Spiking)
    worse = stages.quantized.swap(dataclasses.replace(neurons, level_error=0.05))
    assert level_error(stages.lowered, worse) == 0.05


def test_outputs_with_other_weights_promise_nothing(stages):
    (last,) = stages.quantized.layers_into(stages.quantized.output)
    other = dataclasses.replace(last, weight=last.weight + 1)

    assert level_error(stages.lowered, stages.quantized.swap(other)) == np.inf


def test_every_rung_keeps_its_promise_and_says_what_it_found(model, stages):
    found = rungs(model, stages)

    assert {rung.status for rung in found.values()} == {"ok"}
    assert "halfway between two steps, which neurons round up" in found["converted"].why
    assert found["quantized"].promise == "exact"


@pytest.mark.parametrize(
    ("rung", "by"), [("imported", 1), ("converted", 0.25), ("lowered", 0.25), ("quantized", 40)]
)
def test_a_rung_that_counts_otherwise_is_broken(model, stages, rung, by):
    graph = {
        "imported": stages.prepared,
        "converted": stages.converted,
        "lowered": stages.lowered,
        "quantized": stages.quantized,
    }[rung]
    (neurons,) = [node for node in graph if isinstance(node, (Spiking, Staircase))]
    (layer,) = graph.layers_into(neurons)
    changed = graph.swap(dataclasses.replace(layer, bias=layer.bias + by))

    found = rungs(model, stages, **{rung: changed})

    assert found[rung].status == "broken"


def test_within_a_level_is_promised_where_levels_have_moved(model, stages):
    (neurons,) = stages.quantized.of_type(Spiking)
    moved = stages.quantized.swap(dataclasses.replace(neurons, level_error=0.05))

    found = rungs(model, stages, quantized=raised(moved, 2))

    assert found["quantized"].promise == "within a level"
    assert found["quantized"].status == "ok"
    assert "spike counts are a level off by themselves" in found["quantized"].why
