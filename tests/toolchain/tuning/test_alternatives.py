"""What a lowering would take is worked out as its circuit has it, whichever was chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from targets.simulator.step import run_samples
from toolchain.errors import ConversionError
from toolchain.ir.ann import Add, Dense, Encoding, Input, Output
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.reference import encode
from toolchain.ir.size import count_neurons, count_synapses
from toolchain.ir.snn import IntegrateFire, RadixFire, ThresholdBank
from toolchain.mapping import MAPPINGS
from toolchain.schedule import periods_of
from toolchain.target import TARGETS, Limit
from toolchain.testing import compile_network, random_network, random_samples
from toolchain.tuning.alternatives import compare_lowerings

TARGET = TARGETS["loihi2"]
LOWERINGS = ("radix", "spatial", "temporal")
KINDS = {"radix": RadixFire, "spatial": ThresholdBank, "temporal": IntegrateFire}


def row_of(graph, name, x, target=TARGET):
    return next(row for row in compare_lowerings(graph, name, target, x) if row.name == name)


def check_size(row, circuit):
    assert (row.time_steps, row.period) == (circuit.latency, circuit.period)
    assert row.periods == periods_of(circuit)
    assert row.neurons == count_neurons(circuit)


@given(st.randoms(), st.sampled_from(LOWERINGS))
@settings(max_examples=60)
def test_a_lowering_takes_what_its_circuit_has(random, lowering):
    network = random_network(random)
    x = random_samples(network, random, 6)
    levels = random.randint(1, 20)
    try:
        stages = compile_network(network, x, TARGET, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)

    row = row_of(stages.quantized, lowering, x)

    check_size(row, stages.circuit)
    assert row.is_chosen
    assert row.fits
    assert row.needs_program == (lowering == "radix")
    if lowering == "temporal":
        return
    assert row.synapses == count_synapses(stages.circuit)
    encoded = encode(stages.quantized.input, x).astype(np.int64)
    activity = run_samples(stages.circuit, encoded).activity
    assert row.spikes_per_sample == pytest.approx(sum(map(np.mean, activity.spikes.values())))


def branched(lowering, first=5, second=12, *, low=0, joins_input=False):
    """Layers in a row whose inputs skip past one and two of them."""

    def dense(name, source, rows, columns):
        weight = np.ones((rows, columns), np.int64)
        return Dense(name=name, inputs=(source,), weight=weight, bias=np.zeros((), np.int64))

    def fire(name, source, levels):
        threshold = np.full(4, 3)
        zero = np.zeros(4, np.int64)
        return KINDS[lowering](
            name=name,
            inputs=(source,),
            levels=levels,
            threshold=threshold,
            initial=zero,
            low=zero,
            high=zero,
        )

    encoding = Encoding(1.0, low, 15)
    nodes = (
        Input(name="x", shape=(3,), source_shape=(3,), encoding=encoding),
        dense("a", "x", 4, 3),
        fire("p", "a", first),
        dense("b", "p", 4, 4),
        fire("q", "b", second),
        dense("c", "q", 4, 4),
        dense("d", "p", 4, 4),
        dense("e", "x", 4, 3),
        Add(name="sum", inputs=("c", "d", "e") if joins_input else ("c", "d")),
        fire("r", "sum", first),
        dense("f", "r", 2, 4),
        dense("g", "p", 2, 4),
        Add(name="all", inputs=("f", "g")),
        Output(name="y", inputs=("all",), shape=(2,)),
    )
    if not joins_input:
        nodes = tuple(node for node in nodes if node.name != "e")
    return Graph("net", nodes).at_phase(Phase.QUANTIZE)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("levels", [(5, 12), (12, 5), (1, 1), (7, 7)])
def test_what_waits_for_others_is_counted(lowering, levels):
    graph = branched(lowering, *levels)

    row = row_of(graph, lowering, np.ones((1, 3)))

    check_size(row, MAPPINGS[lowering](graph, TARGET))


def test_a_lowering_that_the_network_cannot_take_is_left_out():
    """Negative numbers cannot wait in binary."""
    graph = branched("radix", low=-16, joins_input=True)

    rows = compare_lowerings(graph, "temporal", TARGET, np.ones((1, 3)))

    assert [row.name for row in rows] == ["spatial", "temporal"]


def test_an_input_waits_as_a_number():
    graph = branched("radix", 15, 9, joins_input=True)

    row = row_of(graph, "radix", np.ones((1, 3)))

    check_size(row, MAPPINGS["radix"](graph, TARGET))


def test_copies_gather_where_the_input_would_have_to_wait():
    banks = branched("spatial", joins_input=True)
    graph = banks.swap(*(replace(n, gathers=True) for n in banks.of_type(ThresholdBank)))

    row = row_of(graph, "spatial", np.ones((1, 3)))

    circuit = MAPPINGS["spatial"](graph, TARGET)
    check_size(row, circuit)
    assert circuit.period == circuit.latency


def test_one_chip_holds_so_many_neurons():
    graph = branched("spatial")
    neurons = row_of(graph, "spatial", np.ones((1, 3))).neurons
    rooms = [
        replace(TARGET, neurons=Limit(neurons - less, "n", "", "assumed")) for less in (0, 1)
    ]

    assert [row_of(graph, "spatial", np.ones((1, 3)), room).fits for room in rooms] == [
        True,
        False,
    ]
