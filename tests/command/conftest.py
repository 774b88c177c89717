"""A place to run the command in, and what it must leave there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from toolchain.cli import main
from toolchain.engine import ENGINES
from toolchain.frontend.testing import text_model

PERCEPTRON = """
net (float[N, 4] x) => (float[N, 3] y) {
    a = Gemm(x, w1, b1)
    r = Relu(a)
    y = Gemm(r, w2, b2)
}
"""


@dataclasses.dataclass(frozen=True)
class Workplace:
    """The current folder of a test, in which the command runs.

    Attributes:
        path: Of the folder.
        capsys: Catches what is printed.
    """

    path: Path
    capsys: pytest.CaptureFixture[str]

    def weights(self, seed=0):
        """Return the weights of the perceptron."""
        random = np.random.default_rng(seed)
        shapes = {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)}
        return {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}

    def save_model(self, text=PERCEPTRON, **changed):
        """Write ``net.onnx``: the perceptron, with some weights changed, or another text."""
        held = self.weights() if text is PERCEPTRON else {}
        onnx.save(text_model(text, **(held | changed)), self.path / "net.onnx")

    def save_samples(self, name, count=40, shape=(4,), **changed):
        """Write samples in 0 to 1 with labels 0 to 2; `None` leaves an array out."""
        random = np.random.default_rng(1)
        arrays: dict[str, Any] = {
            "x": random.random((count, *shape)).astype(np.float32),
            "y": random.integers(0, 3, count),
        }
        held = {name: array for name, array in (arrays | changed).items() if array is not None}
        np.savez(self.path / name, **held)

    def contents(self, folder="."):
        """Return all files of a folder with their bytes, hidden ones too, and the folders."""
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes()
            if path.is_file()
            else None
            for path in (self.path / folder).rglob("*")
        }

    def refusal(self, *words):
        """Return the message of a command that must refuse; check that it did nothing else."""
        before = self.contents()
        self.capsys.readouterr()

        code = main([str(word) for word in words])

        out, err = self.capsys.readouterr()
        assert code == 2
        assert out == ""
        assert "Traceback" not in err
        problem, *hint, more = err.splitlines()
        assert more.startswith("  more: snn-compile explain SNN-")
        assert len(hint) <= 1
        assert all(line.startswith("  hint: ") for line in hint)
        assert self.contents() == before
        return problem

    def compiled(self, *words):
        """Compile to the folder ``build`` and return the report that is there then."""
        assert main([*map(str, words), "--quiet", "--output", "build"]) == 0
        return json.loads((self.path / "build" / "report.json").read_text())


@pytest.fixture
def workplace(tmp_path, monkeypatch, capsys):
    """Go to a folder with a model, its calibration samples and test samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNN_COMPILE_DEBUG", raising=False)
    place = Workplace(tmp_path, capsys)
    place.save_model()
    place.save_samples("calibration.npz")
    place.save_samples("test.npz")
    return place


@pytest.fixture(autouse=True)
def _without_lava(request, monkeypatch):
    """Leave out the engines that need Lava and seconds, unless a test is about them."""
    if request.node.get_closest_marker("lava") is None:
        for name in ("lava", "netx"):
            engine = dataclasses.replace(ENGINES[name], missing=lambda: "left out of this test")
            monkeypatch.setitem(ENGINES._things, name, engine)
