"""A model in float16 is imported as well as its own numbers allow, and its build verifies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toolchain.cli import main

NET = """net ({kind}[N, 6] x) => ({kind}[N, 3] y) {{
    a = MatMul (x, w)  b = Relu (a)  y = MatMul (b, v) }}"""


@pytest.fixture
def compiled(workplace):
    def compiled(kind, numbers):
        random = np.random.default_rng(1)
        shapes = {"w": (6, 8), "v": (8, 3)}
        drawn = {
            name: random.normal(size=size).astype(numbers) for name, size in shapes.items()
        }
        workplace.save_model(NET.format(kind=kind), **drawn)
        workplace.save_samples("calibration.npz", shape=(6,))
        code = main(["net.onnx", "--format", "twin", "--output", "build", "--quiet"])
        report = json.loads((workplace.path / "build" / "report.json").read_text())
        return code, {rung["rung"]: rung for rung in report["ladder"]}

    return compiled


def test_what_float16_rounds_breaks_no_promise(compiled, workplace):
    code, rungs = compiled("float16", np.float16)

    assert code == 0
    assert rungs["imported"]["promise"] == "within 0.01"
    assert rungs["imported"]["max_abs_error"] > 1e-4
    assert main(["verify", "build", "--data", "calibration.npz"]) == 0


def test_float32_is_held_to_its_own_numbers(compiled):
    code, rungs = compiled("float", np.float32)

    assert code == 0
    assert rungs["imported"]["promise"] == "within 0.0001"
