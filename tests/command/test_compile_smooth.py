"""Smooth activations compile, and what their pieces lose is a rung of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toolchain.cli import main
from toolchain.frontend.testing import text_model

SILU = """net (float[N, 6] x) => (float[N, 4] y) {
    a = MatMul (x, w)  s = Sigmoid (a)  b = Mul (a, s)  y = MatMul (b, v) }"""
RUNGS = ["onnxruntime", "imported", "approximated", "converted", "lowered", "quantized"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a network and its samples; returns what compiles it."""
    random = np.random.default_rng(0)
    weights = {"w": (6, 12), "v": (12, 4)}
    drawn = {name: random.normal(size=size).astype("f4") for name, size in weights.items()}
    (tmp_path / "net.onnx").write_bytes(text_model(SILU, **drawn).SerializeToString())
    np.savez(tmp_path / "calibration.npz", x=random.normal(size=(40, 6)).astype("f4"))
    monkeypatch.chdir(tmp_path)

    def compiled(*words):
        main(["net.onnx", "--output", "build", "--format", "twin", "--quiet", *words])
        return json.loads((tmp_path / "build" / "report.json").read_text())

    return compiled


def rung(report, name):
    return next(rung for rung in report["ladder"] if rung["rung"] == name)


def test_the_loss_of_the_pieces_is_a_rung_of_its_own_and_import_is_exact(place):
    report = place()

    assert [rung["rung"] for rung in report["ladder"]][:6] == RUNGS
    assert {rung["status"] for rung in report["ladder"]} == {"ok"}
    assert rung(report, "imported")["promise"] == "within 0.0001"
    assert rung(report, "approximated")["promise"] == "lossy by design"
    assert rung(report, "approximated")["max_abs_error"] > 1e-3
    assert report["nodes"] == {"in": 4, "accounted": 4}


def test_more_pieces_lose_less_and_take_more_neurons(place):
    few, many = place("--pieces", "5"), place("--pieces", "12")

    assert many["neurons"] > 2 * few["neurons"]
    error, less = (rung(report, "approximated")["max_abs_error"] for report in (few, many))
    assert less < error / 2


def test_pieces_are_warned_of_where_there_is_no_smooth_activation(workplace):
    sentence = "--pieces 7 changes nothing: the network has no smooth activations"

    assert workplace.compiled("net.onnx", "--pieces", 7)["warnings"] == [sentence]
    assert workplace.compiled("net.onnx", "--pieces", 5)["warnings"] == []


def test_the_warning_has_function_pieces_and_error(place):
    (sentence,) = place()["warnings"]

    assert sentence.startswith(
        "x * sigmoid(x) is taken for 5 straight pieces, off by at most 0.0"
    )


def test_a_build_can_be_verified_with_that_rung(place, capsys):
    place()

    rungs = ["--rungs", "imported,approximated,converted"]
    code = main(["verify", "build", "--data", "calibration.npz", "--json", *rungs])

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [rung["rung"] for rung in found["ladder"]] == RUNGS[1:4]
    assert rung(found, "converted")["max_abs_error"] is not None


@pytest.mark.parametrize("pieces", ["1", "100"])
def test_a_number_of_pieces_that_none_has_is_refused(place, capsys, pieces):
    assert main(["net.onnx", "--pieces", pieces]) == 2

    assert "2 to 32 are supported" in capsys.readouterr().err
