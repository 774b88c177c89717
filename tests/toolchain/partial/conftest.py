"""Small models of which a part cannot be spikes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from toolchain.frontend.testing import text_model

NORMALIZED = """
net (float[N, 2, 8, 8] x) => (float[N, 5] y) {
    [conv1] c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w1)
    [relu1] r = Relu(c)
    [norm] n = LRN <size = 3> (r)
    [pool] p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (n)
    [conv2] d = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (p, w2)
    [relu2] e = Relu(d)
    [flat] f = Flatten(e)
    [dense] g = Gemm(f, w3)
    [out] y = Softmax(g)
}
"""
"""A normalization between convolutions, and a pool behind it."""

EXCITED = """
net (float[N, 2, 8, 8] x) => (float[N, 3] y) {
    [conv1] a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w1)
    [relu1] b = Relu(a)
    [mean] m = GlobalAveragePool(b)
    [squeeze] s = Conv(m, w2)
    [bend] t = Relu(s)
    [excite] u = Conv(t, w3)
    [gate] g = Sigmoid(u)
    [scale] v = Mul(b, g)
    [sum] z = Add(v, b)
    [conv2] c = Conv <kernel_shape = [3, 3]> (z, w4)
    [relu2] d = Relu(c)
    [flat] f = Flatten(d)
    [dense] y = Gemm(f, w5)
}
"""
"""Channels scaled by a gate of their own means, with a connection around it."""

ATTENDING = """
net (float[N, 4, 6] x) => (float[N, 9] y) {
    [embed] e = MatMul(x, w1)
    [q] q = MatMul(e, w2)
    [k] k = MatMul(e, w3)
    [v] v = MatMul(e, w4)
    [turn] kt = Transpose <perm = [0, 2, 1]> (k)
    [scores] s = MatMul(q, kt)
    [weights] a = Softmax <axis = -1> (s)
    [mix] m = MatMul(a, v)
    [around] o = Add(m, e)
    [shape] h = Shape(x)
    [zero] i = Constant <value_ints = [0]> ()
    [size] b = Gather(h, i)
    [rest] j = Constant <value_ints = [-1]> ()
    [wanted] t = Concat <axis = 0> (b, j)
    [flat] f = Reshape(o, t)
    [dense] y = Gemm(f, w5)
}
"""
"""Attention with a connection around it; a shape that is computed from the model's input."""


def numbers(seed=0, **shapes):
    """Return weights of the given shapes."""
    random = np.random.default_rng(seed)
    return {
        name: (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }


WEIGHTS = {
    "normalized": numbers(w1=(4, 2, 3, 3), w2=(4, 4, 3, 3), w3=(64, 5)),
    "excited": numbers(
        w1=(4, 2, 3, 3), w2=(2, 4, 1, 1), w3=(4, 2, 1, 1), w4=(4, 4, 3, 3), w5=(144, 3)
    ),
    "attending": numbers(w1=(6, 8), w2=(8, 8), w3=(8, 8), w4=(8, 8), w5=(32, 9)),
}
WEIGHTS["dead"] = WEIGHTS["normalized"] | {"w2": -np.ones((4, 4, 3, 3), np.float32)}
TEXTS = {
    "dead": NORMALIZED,
    "normalized": NORMALIZED,
    "excited": EXCITED,
    "attending": ATTENDING,
}
SHAPES = {"dead": (2, 8, 8), "normalized": (2, 8, 8), "excited": (2, 8, 8), "attending": (4, 6)}


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a model, by its name or as text, and returns the path."""

    def write(text, *, opset=17, **weights):
        path = tmp_path / "net.onnx"
        weights = weights or WEIGHTS.get(text, {})
        onnx.save(text_model(TEXTS.get(text, text), opset=opset, **weights), path)
        return path

    return write


@pytest.fixture
def samples(tmp_path):
    """Return a function that writes samples for a model, with labels, and returns the path."""

    def write(name, file="samples.npz", count=24):
        random = np.random.default_rng(3)
        x = random.random((count, *SHAPES[name])).astype(np.float32)
        np.savez(tmp_path / file, x=x, y=random.integers(0, 2, count))
        return tmp_path / file

    return write
