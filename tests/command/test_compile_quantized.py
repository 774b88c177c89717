"""Quantized models compile, whatever lies between their last quantizer and the end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toolchain.cli import main

HEAD = """net (float[N, 4] x) => (float[N, 2, 3] y) {{
    xq = QuantizeLinear (x, s, z)  xd = DequantizeLinear (xq, s, z)
    a = MatMul (xd, w)  b = Relu (a)  c = MatMul (b, v)
    q = QuantizeLinear (c, s, z)  d = DequantizeLinear (q, s, z)
    {end}
}}"""


@pytest.mark.parametrize(
    "end",
    [
        "y = Reshape (d, shape)",
        "r = Reshape (d, turned)  y = Transpose <perm = [0, 2, 1]> (r)",
    ],
)
def test_answers_of_a_quantized_model_have_another_shape_than_its_steps(workplace, end):
    random = np.random.default_rng(0)
    weights = {
        "w": random.integers(-20, 20, (4, 8)).astype(np.float32) / 32,
        "v": random.integers(-20, 20, (8, 6)).astype(np.float32) / 32,
        "s": np.float32(1 / 64),
        "z": np.int8(0),
    }
    if "turned" in end:
        weights["turned"] = np.array([-1, 3, 2])
    else:
        weights["shape"] = np.array([-1, 2, 3])
    workplace.save_model(HEAD.format(end=end), **weights)
    workplace.save_samples("calibration.npz", y=None)

    assert main(["net.onnx", "--format", "twin", "--output", "build", "--quiet"]) == 0

    report = json.loads((workplace.path / "build" / "report.json").read_text())
    imported = report["ladder"][1]
    assert imported["rung"] == "imported"
    assert imported["promise"] == "within 0.0001, ties apart"
    assert imported["max_abs_error"] < 1e-6
