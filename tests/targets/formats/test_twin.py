"""The written twin takes the place of the source model and answers as the compiled network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from targets.formats.twin import emit_twin
from toolchain.engine import Program
from toolchain.errors import ConversionError, EmitError
from toolchain.frontend import import_model
from toolchain.ir.ann import Conv, Dense, Encoding, HostOp, Input, Output
from toolchain.ir.graph import Graph
from toolchain.ir.reference import run
from toolchain.ir.snn import MultiThreshold
from toolchain.target import TARGETS
from toolchain.testing import compile_network, random_network, random_samples

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*/model.onnx"))
NUMBERS = np.random.default_rng(0)


def answers(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return y


def compiled(graph, x):
    stages = compile_network(graph, x, TARGETS["loihi2"], levels=7, lowering="temporal")
    return Program(stages.quantized, stages.circuit)


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.parent.name)
def test_a_bundled_model_gets_a_twin_of_its_own_names_types_and_answers(tmp_path, model):
    imported = import_model(model)
    with np.load(model.with_name("test.npz")) as samples:
        x = samples["x"][:40].astype(imported.graph.input.dtype)
    program = compiled(imported.graph, x)

    (path,) = emit_twin(program, tmp_path)

    onnx.checker.check_model(path, full_check=True)
    source, twin = onnxruntime.InferenceSession(model), onnxruntime.InferenceSession(path)
    for ours, theirs in (
        (twin.get_inputs(), source.get_inputs()),
        (twin.get_outputs(), source.get_outputs()),
    ):
        assert [(v.name, v.type, v.shape[1:]) for v in ours] == [
            (v.name, v.type, v.shape[1:]) for v in theirs
        ]
    wanted = run(program.graph, x)
    np.testing.assert_array_equal(answers(path, x), wanted.astype(np.float32))
    np.testing.assert_array_equal(answers(path, x[:1]), wanted[:1].astype(np.float32))
    (plain,) = ReferenceEvaluator(str(path)).run(None, {source.get_inputs()[0].name: x[:1]})
    np.testing.assert_array_equal(plain, wanted[:1].astype(np.float32))


@given(st.randoms(use_true_random=False))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_that_no_encoding_knew_are_answered_as_the_reference_does(tmp_path, random):
    network = random_network(random)
    x = random_samples(network, random, 8)
    try:
        program = compiled(network, x)
    except ConversionError:
        assume(False)
    wild = (3 * x.astype(np.float32) - 1).astype(np.float32)

    (path,) = emit_twin(program, tmp_path)

    for samples in (x.astype(np.float32), wild):
        wanted = run(program.graph, samples).astype(np.float32)
        np.testing.assert_array_equal(answers(path, samples), wanted)


def test_the_metadata_say_what_it_is_and_where_the_counts_are(tmp_path):
    program = program_of(Dense(name="d", weight=NUMBERS.integers(-127, 128, (3, 4))))

    (path,) = emit_twin(program, tmp_path)

    model = onnx.load(path)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert "twin" in notes["kind"]
    (population,) = json.loads(notes["populations"])
    assert (population["name"], population["levels"], population["form"]) == ("n", 7, "bytes")
    values = {name for node in model.graph.node for name in node.output}
    assert {population["counts"], *json.loads(notes["sums"])} <= values
    assert {entry.domain for entry in model.opset_import} == {""}


def test_the_same_network_gives_the_same_bytes(tmp_path):
    program = program_of(Dense(name="d", weight=NUMBERS.integers(-127, 128, (3, 4))))

    first = emit_twin(program, tmp_path)[0].read_bytes()

    assert emit_twin(program, tmp_path)[0].read_bytes() == first


@pytest.mark.parametrize(
    ("function", "axis", "dtype"),
    [
        ("softmax", 0, "float32"),
        ("softmax", None, "float32"),
        ("log-softmax", 0, "float64"),
        ("sigmoid", None, "float32"),
        ("relu", None, "float16"),
        ("argmax", 0, "int64"),
    ],
)
def test_the_host_s_part_is_in_the_twin(tmp_path, function, axis, dtype):
    step = HostOp(name="t", function=function, axis=axis)
    weight = NUMBERS.integers(-127, 128, (3, 4))
    program = program_of(Dense(name="d", weight=weight), tail=(step,), dtype=dtype)
    x = NUMBERS.integers(0, 255, (5, 4)).astype(np.float32)

    (path,) = emit_twin(program, tmp_path)

    y = answers(path, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, run(program.graph, x).astype(dtype), rtol=1e-14)


def test_sums_that_no_type_holds_are_refused_by_name(tmp_path):
    wide = Conv(name="c", weight=np.full((1, 1, 1, 1), 2**24))
    entry = Input(name="x", shape=(1, 2, 2), source_shape=(1, 2, 2), encoding=Encoding(1, 0, 9))
    neurons = MultiThreshold(name="n", inputs=("c",), levels=7)
    out = Conv(name="o", inputs=("n",), weight=np.ones((1, 1, 1, 1), np.int64))
    end = Output(name="y", inputs=("o",), shape=(1, 2, 2))
    chain = (entry, Conv(**{**vars(wide), "inputs": ("x",)}), neurons, out, end)

    with pytest.raises(EmitError, match="adds up to 150994944") as error:
        emit_twin(Program(Graph("g", chain), None), tmp_path)

    assert error.value.node == "c"
    assert not list(tmp_path.iterdir())


def program_of(last, *, tail=(), dtype="float32"):
    """Return a network of one population, ``n``, and a last layer of three outputs."""
    entry = Input(name="x", shape=(4,), source_shape=(4,), encoding=Encoding(1.0, 0, 255))
    first = Dense(name="f", inputs=("x",), weight=NUMBERS.integers(-127, 128, (4, 4)))
    threshold = NUMBERS.integers(500, 3000, 4)
    neurons = MultiThreshold(name="n", inputs=("f",), levels=7, threshold=threshold)
    last = Dense(**{**vars(last), "inputs": ("n",)})
    scale = NUMBERS.uniform(0.001, 0.002, 3)
    end = Output(
        name="y", inputs=("d",), shape=(3,), tensor="y", scale=scale, tail=tail, dtype=dtype
    )
    return Program(Graph("g", (entry, first, neurons, last, end)), None)
