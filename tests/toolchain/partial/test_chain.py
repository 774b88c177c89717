"""Splitting loses nothing: all segments on the host give what the model gives, bit by bit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from toolchain.calibration import session
from toolchain.frontend.testing import text_model
from toolchain.partial.manifest import write_manifest
from toolchain.partial.planning import plan_model

ELSEWHERE = """
net (float[N, 4, 12] x) => (float[N, 48] y) {
    [first] a = MatMul(x, w1)
    [norm] n = LayerNormalization(a, w2)
    [second] b = MatMul(n, w1)
    [norm2] m = LayerNormalization(b, w2)
    [shape] h = Shape(a)
    [zero] i = Constant <value_ints = [0]> ()
    [size] s = Gather(h, i)
    [rest] j = Constant <value_ints = [-1]> ()
    [wanted] t = Concat <axis = 0> (s, j)
    [flat] y = Reshape(m, t)
}
"""
"""The last node asks for the shape of a value that another segment makes."""

RECURRENT = """
net (float[N, 8, 5] x) => (float[N, 6] y) {
    [conv] c = Conv <kernel_shape = [3], pads = [1, 1]> (x, w1)
    [relu] r = Relu(c)
    [turn] t = Transpose <perm = [2, 0, 1]> (r)
    [lstm] o, h = LSTM <hidden_size = 6> (t, w2, w3)
    [squeeze] y = Squeeze(h, axis)
}
"""


def weights(**shapes):
    random = np.random.default_rng(1)
    return {
        name: random.normal(size=shape, scale=0.4).astype(np.float32)
        for name, shape in shapes.items()
    }


def run_whole(path, x):
    """Run a model in onnxruntime, node by node as it is written."""
    runner = session(path.read_bytes(), as_written=True)
    return runner.run(None, {"x": x})[0]


def run_split(path, folder, x):
    """Run the segments of a model in onnxruntime."""
    manifest = write_manifest(plan_model(path), folder)
    assert {part.place for part in manifest.parts} == {"chip", "host"}
    return manifest.chain(manifest.on_host).values(x, ["y"])["y"]


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("normalized", (2, 8, 8)), ("excited", (2, 8, 8)), ("attending", (4, 6))],
)
def test_segments_give_what_the_model_gives(save, tmp_path, name, shape, count):
    path = save(name)
    x = np.random.default_rng(2).normal(size=(count, *shape)).astype(np.float32)

    split = run_split(path, tmp_path, x)

    np.testing.assert_array_equal(split, run_whole(path, x))


def test_a_shape_from_elsewhere_lets_a_segment_take_samples_one_by_one(save, tmp_path):
    path = save(ELSEWHERE, **weights(w1=(12, 12), w2=(12,)))
    x = np.random.default_rng(2).normal(size=(5, 4, 12)).astype(np.float32)

    split = run_split(path, tmp_path, x)

    np.testing.assert_allclose(split, run_whole(path, x), rtol=1e-6, atol=1e-6)


def test_values_whose_first_axis_is_not_the_batch_stay_on_the_host(save, tmp_path):
    held = weights(w1=(16, 8, 3), w2=(1, 24, 16), w3=(1, 24, 6))
    path = save(RECURRENT, **held, axis=np.array([0]))
    x = np.random.default_rng(2).normal(size=(5, 8, 5)).astype(np.float32)

    split = run_split(path, tmp_path, x)

    np.testing.assert_array_equal(split, run_whole(path, x))


def test_a_model_for_one_sample_is_given_them_one_by_one(tmp_path):
    text = """
    net (float[1, 20] x) => (float[1, 20] y) {
        [first] a = Gemm(x, w1)
        [norm] n = LayerNormalization(a, w2)
        [last] y = Gemm(n, w1)
    }
    """
    path = tmp_path / "net.onnx"
    onnx.save(text_model(text, **weights(w1=(20, 20), w2=(20,))), path)
    x = np.random.default_rng(2).normal(size=(3, 20)).astype(np.float32)

    split = run_split(path, tmp_path, x)

    whole = np.concatenate([run_whole(path, x[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(split, whole)
