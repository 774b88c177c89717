"""Populations are compared with their activations, alone and with all before them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toolchain.data import Samples
from toolchain.engine import Program
from toolchain.ir.ann import Add, Dense, Input, Output, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import counts_of, evaluate
from toolchain.ir.snn import Spiking
from toolchain.target import TARGETS
from toolchain.testing import compile_network
from toolchain.verification import chunks
from toolchain.verification.layers import report_layers


def residual():
    """Two layers in a row, the second beside a skip past it, and a population of both."""
    numbers = np.random.default_rng(0)

    def dense(name, source, rows, columns):
        weight = numbers.normal(size=(rows, columns))
        return Dense(name=name, inputs=(source,), origin=(name,), weight=weight)

    def relu(name, source):
        return Relu(name=name, inputs=(source,), origin=(name,), tensor=name)

    return Graph(
        "net",
        (
            Input(name="x", shape=(4,), source_shape=(4,), origin=("x",)),
            dense("a", "x", 6, 4),
            relu("p", "a"),
            dense("b", "p", 5, 6),
            relu("q", "b"),
            dense("c", "q", 3, 5),
            dense("d", "p", 3, 6),
            Add(name="sum", inputs=("c", "d"), origin=("sum",)),
            relu("r", "sum"),
            dense("e", "r", 2, 3),
            Output(name="y", inputs=("e",), shape=(2,), tensor="y", origin=("y",)),
        ),
        source_nodes=("a", "p", "b", "q", "c", "d", "sum", "r", "e"),
    ).at_phase(Phase.IMPORT)


@pytest.fixture(scope="module")
def stages():
    x = np.random.default_rng(1).random((20, 4))
    return compile_network(residual(), x, TARGETS["loihi2"], levels=5, lowering="radix"), x


def error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_errors_are_those_of_each_population(stages):
    compiled, x = stages
    wanted, found = evaluate(compiled.prepared, x), evaluate(compiled.quantized, x)
    populations = compiled.quantized.of_type(Spiking)
    ideal = {node.name: wanted[node.name] / node.unit for node in populations}

    reports = report_layers(compiled.prepared, Program(compiled.quantized, compiled.circuit), x)

    assert [report.name for report in reports] == ["p", "q", "r"]
    for node, report in zip(populations, reports, strict=True):
        others = {name: value for name, value in ideal.items() if name != node.name}
        alone = counts_of(evaluate(compiled.quantized, x, given=others)[node.name])
        counts = counts_of(found[node.name])
        assert report.isolated_error == pytest.approx(
            error(alone * node.unit, wanted[node.name])
        )
        assert report.cumulative_error == pytest.approx(
            error(counts * node.unit, wanted[node.name])
        )
        assert report.firing_rate == pytest.approx(counts.mean() / 5)
    assert reports[2].isolated_error < reports[2].cumulative_error


def test_weights_of_all_layers_of_a_sum_count(stages):
    compiled, x = stages
    graph = compiled.quantized
    large = dataclasses.replace(graph["d"], weight=np.full((3, 6), 1000))

    reports = report_layers(compiled.prepared, Program(graph.swap(large), compiled.circuit), x)

    assert [report.weight_bits for report in reports] == [8, 8, 11]


def test_a_report_does_not_depend_on_how_many_samples_fit_into_memory(stages, monkeypatch):
    compiled, x = stages
    program = Program(compiled.quantized, compiled.circuit)
    at_once = report_layers(compiled.prepared, program, x)

    monkeypatch.setattr(chunks, "_CHUNK_BYTES", 2500)
    one_by_one = report_layers(compiled.prepared, program, x)

    assert len(list(chunks.chunks(compiled.quantized, Samples(x)))) > 3
    for whole, parts in zip(at_once, one_by_one, strict=True):
        for key, value in dataclasses.asdict(whole).items():
            found = getattr(parts, key)
            assert found == (pytest.approx(value) if isinstance(value, float) else value)
