"""Networks with several inputs and outputs compute what the model does, wherever they run."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from targets.formats.twin import emit_twin
from targets.simulator.step import run_stream
from toolchain.engine import ENGINES, Program
from toolchain.errors import CapacityError, ConversionError
from toolchain.ir.counts import sweep
from toolchain.ir.ends import decode_sums, encode_samples, output_parts, sample_shape
from toolchain.ir.graph import Phase
from toolchain.ir.packing import pack, unpack
from toolchain.ir.reference import counts_of, evaluate, run
from toolchain.ir.snn import Spiking
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, compile_network, random_ends, random_samples

TARGET = TARGETS["loihi2"]
CONTEXT = Context(target=TARGET, levels=7, method="mmse", lowering="temporal")
LOWERINGS = ("temporal", "spatial", "radix")
SEARCH = settings(
    max_examples=20,
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
    ],
)


def compiled(random, lowering, schedule="auto"):
    graph = random_ends(random)
    x = random_samples(graph, random, 4)
    try:
        stages = compile_network(
            graph, x, TARGET, levels=random.randint(1, 9), lowering=lowering, schedule=schedule
        )
    except (ConversionError, CapacityError):
        assume(False)
    assume(all(node.bound == "proved" for node in stages.quantized.of_type(Spiking)))
    return stages, x


@given(st.randoms())
def test_preparing_keeps_the_function(random):
    graph = random_ends(random, is_whole=True)
    x = random_samples(graph, random, 3, is_whole=True)

    prepared = after_phase(graph, Phase.PREPARE, CONTEXT)

    np.testing.assert_array_equal(run(prepared, x), run(graph, x))
    assert [node.tensor for node in prepared.outputs] == [node.tensor for node in graph.outputs]


@SEARCH
@pytest.mark.parametrize("lowering", LOWERINGS)
@given(st.randoms())
def test_every_engine_gives_the_same(lowering, random):
    stages, x = compiled(random, lowering)
    program, graph = Program(stages.quantized, stages.circuit), stages.quantized
    converted, lowered = evaluate(stages.converted, x), evaluate(stages.lowered, x)
    for node in stages.lowered.of_type(Spiking):
        np.testing.assert_array_equal(
            counts_of(lowered[node.name]), counts_of(converted[node.name])
        )

    meant = {node.name: value for node, _, value in sweep(graph, x)}
    sums = pack([meant[node.inputs[0]] for node in graph.outputs])
    inputs = encode_samples(graph, x)
    for engine in ("count", "step"):
        found = ENGINES[engine].run(program, inputs, trace=False)
        np.testing.assert_array_equal(found.readout, sums)
        for node in graph.of_type(Spiking):
            np.testing.assert_array_equal(found.counts[node.name], meant[node.name])
    np.testing.assert_array_equal(decode_sums(graph, sums), run(graph, x))


@SEARCH
@pytest.mark.parametrize("schedule", ["sequential", "pipelined"])
@given(st.randoms())
def test_samples_one_after_the_other_do_not_disturb_each_other(schedule, random):
    stages, x = compiled(random, "temporal", schedule)
    inputs = encode_samples(stages.quantized, x)

    alone = ENGINES["count"].run(Program(stages.quantized, stages.circuit), inputs, trace=False)

    in_a_row = run_stream(stages.circuit, inputs)
    readout = stages.circuit.in_weight_units(in_a_row.readout)
    np.testing.assert_array_equal(readout, alone.readout)


@SEARCH
@given(st.randoms())
def test_what_is_counted_of_a_sample_is_what_the_step_engine_counts(random):
    stages, x = compiled(random, "temporal")
    program = Program(stages.quantized, stages.circuit)
    inputs = encode_samples(stages.quantized, x)

    measured = ENGINES["count"].measure(program, inputs, trace=False)
    stepped = ENGINES["step"].run(program, inputs, trace=False)

    assume(measured.spikes_total is not None)
    for name in ("spikes_total", "synaptic_operations", "graded_operations"):
        np.testing.assert_array_equal(getattr(measured, name), getattr(stepped, name))


@SEARCH
@given(st.randoms())
def test_the_twin_has_the_inputs_and_outputs_of_the_model(tmp_path, random):
    stages, x = compiled(random, "temporal")
    graph, x = stages.quantized, x.astype(np.float32)

    (path,) = emit_twin(Program(graph, stages.circuit), tmp_path)

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options)
    parts = unpack(x, [node.source_shape for node in graph.inputs])
    given = {node.name: part for node, part in zip(graph.inputs, parts, strict=True)}
    names = list(output_parts(graph)) or [graph.output.tensor]
    assert [output.name for output in session.get_outputs()] == names
    wanted = run(graph, x).astype(np.float32)
    np.testing.assert_array_equal(pack(session.run(names, given)), wanted)


def test_a_sample_holds_all_inputs():
    import random

    graph = random_ends(random.Random(0))

    total = sum(int(np.prod(node.shape)) for node in graph.inputs)
    assert len(graph.inputs) > 1
    assert sample_shape(graph) == (total,)
