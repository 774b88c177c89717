"""A model with several inputs and outputs is used by their names, from samples to answers."""

import numpy as np
import onnx
import onnxruntime
import pytest

from toolchain.cli import main
from toolchain.frontend.testing import text_model

MODEL = """net (float[N, 1, 4, 4] image, float[N, 3] numbers)
    => (float[N, 2] classes, float[N, 2, 2] place) {
    a = Conv (image, k)  h = Relu (a)  f = Flatten (h)
    g = MatMul (numbers, v)  r = Relu (g)
    c = Concat <axis = 1> (f, r)
    d = MatMul (c, w)  classes = Softmax (d)
    p = MatMul (c, u)  place = Reshape (p, s) }"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Write the model and samples, and return what onnxruntime makes of them, by name."""
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    weights = {"k": (2, 1, 3, 3), "v": (3, 4), "w": (12, 2), "u": (12, 4)}
    arrays = {name: numbers.normal(size=shape) for name, shape in weights.items()}
    floats = {name: array.astype(np.float32) for name, array in arrays.items()}
    onnx.save(text_model(MODEL, **floats, s=np.array([-1, 2, 2])), "net.onnx")
    given = {
        "image": numbers.random((40, 1, 4, 4), dtype=np.float32),
        "numbers": numbers.normal(size=(40, 3)).astype(np.float32),
    }
    session = onnxruntime.InferenceSession("net.onnx")
    outputs = dict(zip(("classes", "place"), session.run(None, given), strict=True))
    np.savez("x.npz", **given, y=outputs["classes"].argmax(axis=1))
    return outputs


def test_samples_go_in_and_answers_come_out_by_name(model, capsys):
    compiled = ["net.onnx", "--calibration", "x.npz", "--test", "x.npz", "--format", "twin"]
    assert main([*compiled, "--output", "build", "--quiet", "--levels", "31"]) == 0
    assert main(["verify", "build", "--data", "x.npz"]) == 0
    capsys.readouterr()

    code = main(["run", "build", "--input", "x.npz", "--output", "y.npz"])

    assert code == 0
    right = float(capsys.readouterr().out.partition("right: ")[2].partition("%")[0])
    assert right >= 90
    with np.load("y.npz") as outputs:
        assert set(outputs) == {"classes", "place"}
        for name, wanted in model.items():
            assert outputs[name].shape == wanted.shape
            off = np.abs(outputs[name] - wanted).max() / np.abs(wanted).max()
            assert off < 0.3, name


def test_samples_without_names_are_refused(model, capsys):
    np.savez("flat.npz", x=np.zeros((4, 19), np.float32))

    code = main(["net.onnx", "--calibration", "flat.npz", "--output", "build"])

    assert code == 2
    assert "holds no array 'image'; it holds 'x'" in capsys.readouterr().err
