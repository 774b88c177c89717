"""An imported network computes what onnxruntime computes, layer by layer, in every opset."""

import numpy as np
import onnx
import onnxruntime
import pytest

from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_text,
    run_reference,
    small_integers,
)
from toolchain.ir.ann import Rearrange, Relu
from toolchain.ir.reference import evaluate, run

NEWEST = onnx.defs.onnx_opset_version()


def normal(*shape, seed=0, scale=0.5):
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)


CNN = """cnn (float[N, 2, 12, 10] x) => (float[N, 5] y) {
    [conv1] c1 = Conv <pads = [1, 1, 1, 1], strides = [1, 1]> (x, k1, b1)
    [norm1] n1 = BatchNormalization <epsilon = 0.001> (c1, g1, o1, m1, v1)
    [relu1] r1 = Relu (n1)
    [pool1] p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)
    [conv2] c2 = Conv <group = 2, dilations = [1, 2]> (p1, k2)
    [add2] a2 = Add (c2, b2)
    [relu2] r2 = Relu (a2)
    [pool2] p2 = AveragePool <kernel_shape = [2, 1], strides = [2, 1]> (r2)
    [flat] f = Flatten (p2)
    [fc1] h1 = Gemm <transB = 1> (f, w1, z1)
    [relu3] r3 = Relu (h1)
    [fc2] h2 = MatMul (r3, w2)
    [prob] y = Softmax <axis = 1> (h2) }"""

CNN_WEIGHTS = {
    "k1": normal(4, 2, 3, 3),
    "b1": normal(4, seed=1),
    "g1": normal(4, seed=2),
    "o1": normal(4, seed=3),
    "m1": normal(4, seed=4),
    "v1": normal(4, seed=5) ** 2,
    "k2": normal(6, 2, 3, 2),
    "b2": normal(6, 1, 1),
    "w1": normal(8, 36),
    "z1": normal(8),
    "w2": normal(8, 5),
}


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 20])
def test_a_network_computes_the_same_in_every_opset(opset):
    model = import_text(CNN, opset=opset, **CNN_WEIGHTS)

    check_against_onnxruntime(model, normal(8, 2, 12, 10, scale=1))


def test_a_network_computes_the_same_in_the_newest_opset():
    x = normal(4, 2, 12, 10, scale=1)

    model = import_text(CNN, opset=NEWEST, **CNN_WEIGHTS)

    np.testing.assert_allclose(
        run(model.graph, x), run_reference(model, x), rtol=1e-5, atol=1e-6
    )


CHANNELS_LAST = """cnn (float[N, 12, 10, 2] x) => (float[N, 5] y) {
    [in1] i1 = Transpose <perm = [0, 3, 1, 2]> (x)
    c1 = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (i1, k1)
    [out1] o1 = Transpose <perm = [0, 2, 3, 1]> (c1)
    [bias1] a1 = Add (o1, b1)
    [relu1] r1 = Relu (a1)
    i2 = Transpose <perm = [0, 3, 1, 2]> (r1)
    c2 = Conv <auto_pad = "VALID"> (i2, k2)
    o2 = Transpose <perm = [0, 2, 3, 1]> (c2)
    [relu2] r2 = Relu (o2)
    [shape] s = Shape (r2)
    [first] n = Slice (s, zero, one)
    [rest] t = Concat <axis = 0> (n, minus)
    [flat] f = Reshape (r2, t)
    [fc] h = MatMul (f, w)
    [bias] y = Add (b, h) }"""

CHANNELS_LAST_WEIGHTS = {
    "k1": normal(4, 2, 3, 3),
    "b1": normal(4),
    "k2": normal(3, 4, 3, 2),
    "w": normal(48, 5),
    "b": normal(1, 5),
    "zero": np.array([0]),
    "one": np.array([1]),
    "minus": np.array([-1]),
}

ONE_AXIS = """cnn (float[N, 3, 40] x) => (float[N, 4] y) {
    c1 = Conv <pads = [2, 1], strides = [2]> (x, k1, b1)
    n1 = BatchNormalization (c1, g1, g1, b1, g1)
    [relu1] r1 = Relu (n1)
    p1 = MaxPool <kernel_shape = [3], strides = [2], ceil_mode = 1> (r1)
    c2 = Conv <dilations = [2]> (p1, k2)
    [relu2] r2 = Relu (c2)
    p2 = GlobalAveragePool (r2)
    f = Squeeze (p2, axes)
    y = Gemm (f, w) }"""

ONE_AXIS_WEIGHTS = {
    "k1": normal(4, 3, 5),
    "b1": normal(4),
    "g1": np.abs(normal(4)),
    "k2": normal(6, 4, 3),
    "w": normal(6, 4),
    "axes": np.array([2]),
}

NETWORKS = {
    "channels first": (CNN, CNN_WEIGHTS),
    "channels last": (CHANNELS_LAST, CHANNELS_LAST_WEIGHTS),
    "one axis": (ONE_AXIS, ONE_AXIS_WEIGHTS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_activation_is_found_in_the_model_by_its_tensor(name):
    text, weights = NETWORKS[name]
    model = import_text(text, **weights)
    x = normal(4, *model.input_shape, scale=1)
    relus = model.graph.of_type(Relu)
    proto = onnx.load_model_from_string(model.source.content())
    proto.graph.output.extend(onnx.ValueInfoProto(name=relu.tensor) for relu in relus)
    session = onnxruntime.InferenceSession(proto.SerializeToString())

    _, *wanted = session.run(None, model.feeds(x))

    values = evaluate(model.graph, x)
    assert len(relus) > 1
    for relu, tensor in zip(relus, wanted, strict=True):
        flat = tensor.reshape(len(x), -1)
        order = slice(None) if relu.tensor_order is None else relu.tensor_order
        np.testing.assert_allclose(
            values[relu.name].reshape(len(x), -1), flat[:, order], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_computes_the_same(name):
    text, weights = NETWORKS[name]

    model = import_text(text, **weights)

    check_against_onnxruntime(model, normal(16, *model.input_shape, scale=1))


def test_channels_last_leave_one_rearrangement_before_the_dense_layer():
    model = import_text(CHANNELS_LAST, **CHANNELS_LAST_WEIGHTS)

    (rearrange,) = model.graph.of_type(Rearrange)
    assert rearrange.name == "flat"
    assert model.graph.only_user("flat") is model.graph["fc"]
    assert model.graph.input.order is not None


QUANTIZED_INPUT = """cnn (uint8[N, 1, 8, 8] x) => (float[N, 3] y) {
    f = Cast <to = 1> (x)
    mean = Constant <value_float = 127.5> ()
    c = Sub (f, mean)
    d = Mul (c, tenth)
    i = Identity (d)
    w1 = Identity (k)
    c1 = Conv <strides = [2, 2]> (i, w1)
    r = Relu (c1)
    dropped, mask = Dropout (r)
    flat = Flatten (dropped)
    h = Gemm <alpha = 0.5, beta = 2.0> (flat, w, b)
    s = Sigmoid (h)
    y = Identity (s) }"""


def test_a_network_without_node_names_on_integers_computes_the_same():
    model = import_text(
        QUANTIZED_INPUT,
        tenth=np.array(0.01, np.float32),
        k=normal(4, 1, 3, 3),
        w=normal(36, 3),
        b=normal(3),
    )

    check_against_onnxruntime(model, 25 * np.abs(small_integers(8, 1, 8, 8)))


def test_importing_twice_gives_the_same():
    first, second = (import_text(CNN, **CNN_WEIGHTS) for _ in range(2))

    assert [node.name for node in first.graph] == [node.name for node in second.graph]
    assert first.source.sha256 == second.source.sha256
