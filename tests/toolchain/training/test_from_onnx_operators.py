"""Networks of every supported kind of operator train, become neurons and come back as ONNX."""

from __future__ import annotations

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import CompileError, EmitError, UnsupportedOpError  # noqa: E402
from toolchain.frontend.testing import (  # noqa: E402
    import_proto,
    import_text,
    run_onnxruntime,
    text_model,
)
from toolchain.ir.reference import run  # noqa: E402
from toolchain.options import Options  # noqa: E402
from toolchain.pipeline import compile_model  # noqa: E402
from toolchain.training.architecture import build, describe  # noqa: E402
from toolchain.training.export import export_network, network_model  # noqa: E402
from toolchain.training.from_onnx import network_from_onnx, with_staircases  # noqa: E402
from toolchain.training.hybrid import convert_to_neurons  # noqa: E402
from toolchain.training.network import INPUT, Network, Permute, Step  # noqa: E402

CONV = "c = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)"
START = f"{CONV} r = Relu (c)"
UP = (
    'k = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
    'nearest_mode = "floor"> (r, , factors)'
)

BODIES = {
    "sum": (144, f"{START} d = Conv <pads = [1, 1, 1, 1]> (r, w4) s = Add (d, r) z = Relu (s)"),
    "difference": (
        144,
        f"{START} d = Conv <pads = [1, 1, 1, 1]> (r, w4) s = Sub (r, d) z = Relu (s)",
    ),
    "mean": (144, f"{START} d = Conv <pads = [1, 1, 1, 1]> (r, w4) z = Mean (r, d)"),
    "largest": (
        144,
        f"{START} d = Conv <pads = [1, 1, 1, 1]> (r, w4) s = Max (r, d) z = Relu (s)",
    ),
    "concatenation": (
        180,
        f"{START} d = Conv <pads = [1, 1, 1, 1]> (r, w4) e = Relu (d) "
        "s = Concat <axis = 1> (e, r) g = Conv (s, w8) z = Relu (g)",
    ),
    "split": (
        48,
        f"{START} p, q = Split <axis = 1> (r) d = Conv (p, w2) e = Conv (q, w2) "
        "s = Add (d, e) z = Relu (s)",
    ),
    "limit": (144, f"{CONV} z = Clip (c, low, high)"),
    "hard sigmoid": (144, f"{CONV} z = HardSigmoid (c)"),
    "leak": (144, f"{CONV} z = LeakyRelu <alpha = 0.1> (c)"),
    "magnitude": (144, f"{CONV} z = Abs (c)"),
    "depthwise": (
        144,
        f"{START} d = Conv <group = 4, pads = [1, 1, 1, 1]> (r, w1d) z = Relu (d)",
    ),
    "transposed": (936, f"{START} d = ConvTranspose <strides = [2, 3]> (r, w4) z = Relu (d)"),
    "transposed sample": (432, "d = ConvTranspose <strides = [2, 2]> (x, w2t) z = Relu (d)"),
    "average": (
        36,
        f"{START} z = AveragePool <kernel_shape = [3, 3], strides = [2, 2], "
        "pads = [1, 1, 1, 1]> (r)",
    ),
    "global average": (4, f"{START} z = GlobalAveragePool (r)"),
    "enlarged": (400, f"{START} {UP} d = Conv (k, w4) z = Relu (d)"),
    "sliced": (32, f"{START} k = Slice (r, one, five, two) d = Conv (k, w4) z = Relu (d)"),
    "blocks": (
        200,
        f"{START} k = DepthToSpace <blocksize = 2> (r) d = Conv (k, w1o) z = Relu (d)",
    ),
    "normalized": (144, f"{START} z = BatchNormalization (r, gain, shift, gain, var)"),
}
POOLS = {
    "pool": (36, f"{START} z = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)"),
    "padded": (
        36,
        f"{START} z = MaxPool <kernel_shape = [3, 3], strides = [2, 2], "
        "pads = [1, 1, 1, 1]> (r)",
    ),
    "unevenly padded": (
        144,
        f"{START} z = MaxPool <kernel_shape = [2, 2], strides = [1, 1], "
        "pads = [0, 0, 1, 1]> (r)",
    ),
    "before the rectifier": (
        36,
        f"{CONV} m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c) z = Relu (m)",
    ),
}


def normal(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape).astype(np.float32)


WEIGHTS = {
    "w1": normal(4, 2, 3, 3), "b1": normal(4), "w2": normal(3, 2, 3, 3),
    "w2t": normal(2, 3, 2, 2), "w4": normal(4, 4, 3, 3), "w8": normal(5, 8, 1, 1),
    "w1d": normal(4, 1, 3, 3), "w1o": normal(2, 1, 3, 3), "gain": normal(4),
    "shift": normal(4) + 1, "var": np.abs(normal(4)) + 0.5, "low": np.float32(0),
    "high": np.float32(1.5), "factors": np.array([1, 1, 2, 2], np.float32),
    "one": np.array([1]), "five": np.array([5]), "two": np.array([2]),
}  # fmt: skip
X = normal(20, 2, 6, 6)


def source(case):
    """Return the text of a model that ends with a dense layer behind ``z``, and its weights."""
    size, body = (BODIES | POOLS)[case]
    words = re.findall(r"\w+", body)
    held = {name: value for name, value in WEIGHTS.items() if name in words}
    text = f"""net (float[N, 2, 6, 6] x) => (float[N, 3] y) {{
        {body} f = Flatten (z) y = Gemm <transB = 1> (f, end) }}"""
    return text, held | {"end": normal(3, size) / 10}


def loaded(case, tmp_path):
    """Return the network of a model, in float64."""
    text, weights = source(case)
    path = tmp_path / "model.onnx"
    path.write_bytes(text_model(text, **weights).SerializeToString())
    return network_from_onnx(path).double()


def neurons(network, levels, windows):
    """Return the network with staircases, and with neurons in their place."""
    stepped = with_staircases(network, levels * windows, torch.as_tensor(X).double())
    return stepped.double(), convert_to_neurons(stepped.double(), levels, windows)


@pytest.mark.parametrize("case", BODIES | POOLS)
def test_a_network_computes_what_the_model_does_and_goes_back(case, tmp_path):
    text, weights = source(case)
    want = run_onnxruntime(import_text(text, **weights), X)

    network = loaded(case, tmp_path)
    back = import_proto(network_model(network))

    made = network(torch.as_tensor(X).double()).detach().numpy()
    np.testing.assert_allclose(made, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run_onnxruntime(back, X), want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(back.graph, X), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "levels", "windows"),
    [(case, 2, 2) for case in BODIES] + [(case, 4, 1) for case in POOLS],
)
def test_its_neurons_equal_its_staircases_in_torch_in_onnx_and_kept(
    case, levels, windows, tmp_path
):
    x = torch.as_tensor(X).double()
    stepped, spiking = neurons(loaded(case, tmp_path), levels, windows)
    want = stepped(x).detach().numpy()

    kept = build(describe(spiking)).double()
    kept.load_state_dict(spiking.state_dict())
    back = import_proto(network_model(spiking))

    np.testing.assert_allclose(spiking(x).detach(), want, rtol=1e-9, atol=1e-9)
    assert torch.equal(kept.eval()(x), spiking.eval()(x))
    for y in (run_onnxruntime(back, X), run(back.graph, X)):
        # in float32 a potential may fall on the other side of its threshold
        assert np.mean(np.abs(y - want).max(axis=1) < 1e-3) >= 0.9


@pytest.mark.parametrize("case", ["concatenation", "leak", "transposed", "unevenly padded"])
def test_every_promise_is_kept_when_they_are_compiled(case, tmp_path):
    _, spiking = neurons(loaded(case, tmp_path), 2, 2)
    with torch.no_grad():
        for parameter in spiking.parameters():
            if parameter.shape == (2, 2):
                parameter += torch.tensor([[0.5, -0.5], [1.0, 0.0]])
    export_network(spiking, tmp_path / "spiking.onnx")
    np.savez(tmp_path / "samples.npz", x=X)

    report = compile_model(
        Options(
            model=tmp_path / "spiking.onnx",
            calibration=tmp_path / "samples.npz",
            formats=("twin",),
            output=tmp_path / "build",
        )
    )

    status = {rung.rung: rung.status for rung in report.ladder}
    assert {"step", "twin"} <= set(status)
    assert set(status.values()) == {"ok"}


def test_a_quantized_model_is_refused_by_name(tmp_path):
    text = """net (float[N, 6] x) => (float[N, 3] y) {
        a = Gemm <transB = 1> (x, w) r = Relu (a)
        [steps] q = QuantizeLinear (r, scale, zero) d = DequantizeLinear (q, scale, zero)
        y = Gemm <transB = 1> (d, end) }"""
    weights = {"w": normal(4, 6), "end": normal(3, 4), "scale": np.float32(0.1)}
    path = tmp_path / "model.onnx"
    path.write_bytes(text_model(text, **weights, zero=np.uint8(0)).SerializeToString())

    with pytest.raises(UnsupportedOpError, match="Staircase has no form that can be trained"):
        network_from_onnx(path)


def test_zeros_without_a_pattern_cannot_be_exported():
    step = Step("zeros", (INPUT,), Permute((1, 1, 4), [0, -1, 1, -1]))

    with pytest.raises(EmitError, match="not evenly spaced") as error:
        network_model(Network([step], (1, 1, 2)))

    assert error.value.node == "zeros"


def test_a_model_of_several_outputs_is_refused_by_name(tmp_path):
    text = """net (float[N, 6] x) => (float[N, 3] y, float[N, 3] z) {
        y = Gemm <transB = 1> (x, v) r = Relu (y) z = Gemm <transB = 1> (r, w) }"""
    path = tmp_path / "model.onnx"
    model = text_model(text, v=normal(3, 6), w=normal(3, 3))
    path.write_bytes(model.SerializeToString())

    with pytest.raises(CompileError, match="one of 2 outputs; networks with one") as error:
        network_from_onnx(path)

    assert error.value.node is not None
