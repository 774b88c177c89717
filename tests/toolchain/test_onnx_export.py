"""An exported network computes in onnxruntime what the reference computes."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx.checker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.calibration import session
from toolchain.ir.ann import Affine, Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Phase
from toolchain.ir.reference import encode, evaluate
from toolchain.onnx_export import export_onnx
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase, chain, random_network, random_samples

CONTEXT = Context(target=TARGETS["loihi2"], levels=4, method="maximum", lowering="temporal")


def run_exported(graph, x, names):
    chunk = encode(graph.input, x).astype(np.float32)
    exported = export_onnx(graph, names)
    fed = {graph.input.name: chunk, **exported.weights}
    return session(exported.model).run(names, fed)


@given(st.randoms())
def test_every_value_is_that_of_the_reference(random):
    graph = after_phase(random_network(random, is_whole=True), Phase.PREPARE, CONTEXT)
    x = random_samples(graph, random, 3, is_whole=True)
    names = [node.name for node in graph.nodes[1:-1]]

    found = run_exported(graph, x, names)

    wanted = evaluate(graph, x)
    for name, value in zip(names, found, strict=True):
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-5)


def conv(**fields):
    weight = np.random.default_rng(0).integers(-4, 5, (4, 1, 2, 3)).astype(np.float32)
    return Conv(**{"name": "conv", "weight": weight, "groups": 2, **fields})


ORDER = np.random.default_rng(3).permutation(72)


@pytest.mark.parametrize(
    "nodes",
    [
        (conv(bias=np.array(2.0)),),
        (conv(bias=np.arange(4.0).reshape(4, 1, 1)),),
        (conv(bias=np.arange(64.0).reshape(4, 4, 4)),),
        (conv(padding=((1, 0), (0, 2)), stride=(2, 1), dilation=(1, 2)),),
        (MaxPool(name="pool", kernel=(2, 3), stride=(2, 1), padding=((1, 0), (0, 2))),),
        (Rearrange(name="plain", shape=(6, 10)),),
        (Rearrange(name="order", shape=(60,), order=ORDER[ORDER < 60]),),
        (Relu(name="relu"),),
        (
            Rearrange(name="flat", shape=(60,)),
            Dense(name="dense", weight=np.eye(3, 60), bias=np.array(1.0)),
        ),
    ],
    ids=lambda nodes: nodes[-1].name,
)
def test_every_primitive_is_exported(nodes):
    x = np.random.default_rng(1).integers(-4, 5, (3, 2, 5, 6))
    graph = chain((2, 5, 6), *nodes)

    (found,) = run_exported(graph, x, [nodes[-1].name])

    np.testing.assert_array_equal(found, evaluate(graph, x)[nodes[-1].name])


def test_the_model_is_valid_and_says_its_shapes():
    graph = chain((2, 5, 6), conv(), Relu(name="relu"))

    model = onnx.load_from_string(export_onnx(graph, ["relu", "conv"]).model)

    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["relu", "conv"]
    sizes = model.graph.output[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == ["N", 4, 4, 4]


def test_inputs_come_in_the_order_of_the_network():
    entry = dataclasses.replace(
        chain((2, 5, 6)).input, source_shape=(5, 6, 2), order=np.arange(60)[::-1]
    )
    graph = chain((2, 5, 6), Relu(name="relu")).swap(entry)
    x = np.random.default_rng(1).integers(-4, 5, (2, 5, 6, 2))

    (found,) = run_exported(graph, x, ["relu"])

    np.testing.assert_array_equal(found, evaluate(graph, x)["relu"])


def test_what_preparation_removes_is_not_exported():
    with pytest.raises(NotImplementedError, match="Affine"):
        export_onnx(chain((2,), Affine(name="affine")), ["affine"])
