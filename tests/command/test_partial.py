"""``--partial`` splits a model between chip and host; the build runs and is verified whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toolchain.cli import main

NORMALIZED = """
net (float[N, 20] x) => (float[N, 20] y) {
    [first] a = Gemm(x, w)
    [norm] n = LayerNormalization(a, scale)
    [second] b = Gemm(n, w)
    [relu] r = Relu(b)
    [last] y = Gemm(r, w)
}
"""


@pytest.fixture
def place(workplace):
    """A workplace with a model of which one node cannot be spikes."""
    weight = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    workplace.save_model(NORMALIZED, w=weight, scale=np.ones(20, np.float32))
    for name in ("calibration.npz", "test.npz"):
        workplace.save_samples(name, shape=(20,))
    return workplace


@pytest.fixture
def built(place):
    """The same, compiled to ``build``."""
    words = ["net.onnx", "--partial", "--test", "test.npz", "--format", "twin", "--quiet"]
    assert main([*words, "--output", "build"]) == 0
    return place


def test_a_compile_in_segments_prints_one_screen(place):
    code = main(["net.onnx", "--partial", "--test", "test.npz", "--format", "twin"])

    out = place.capsys.readouterr().out
    assert code == 0
    assert "2 segments on the chip, 1 on the host" in out
    assert "on the chip: 100.0% of multiply-accumulates, 80.0% of nodes" in out
    assert "per sample: " in out
    assert out.endswith("every promise kept\n")
    assert (place.path / "build/net-loihi2/partial.json").is_file()


def test_json_prints_what_the_report_holds(place):
    code = main(["net.onnx", "--partial", "--format", "twin", "--json", "--output", "build"])

    written = json.loads((place.path / "build/report.json").read_text())
    del written["written_by"], written["manifest"], written["sha256"]
    assert code == 0
    assert json.loads(place.capsys.readouterr().out) == written


def test_the_manifest_has_the_keys_that_are_documented(built):
    from toolchain.partial import manifest

    held = json.loads((built.path / "build/partial.json").read_text())

    for key in (*held, *held["segments"][0]):
        assert f"``{key}``" in manifest.__doc__, key
    assert [segment["place"] for segment in held["segments"]] == ["chip", "host", "chip"]
    for segment in held["segments"]:
        assert (built.path / "build" / segment["model"]).is_file()


def test_a_build_in_segments_runs(built):
    code = main(["run", "build", "--input", "test.npz", "--output", "y.npz"])

    out = built.capsys.readouterr().out
    assert code == 0
    assert "engine count: 40 samples" in out
    assert "right: " in out
    assert np.load(built.path / "y.npz")["y"].shape == (40, 20)


def test_samples_beyond_the_encoding_of_a_segment_are_warned_of(place):
    with np.load("test.npz") as held:
        place.save_samples("pixels.npz", shape=(20,), x=held["x"] * 255)
    words = ["--partial", "--test", "pixels.npz", "--format", "twin"]

    (told,) = place.compiled("net.onnx", *words)["warnings"]
    assert main(["run", "build", "--input", "pixels.npz"]) == 0

    assert told.startswith("1-chip: ")
    assert "of the values of input 'x' are clipped" in told
    assert "of the values of input 'x' are clipped" in place.capsys.readouterr().err


def test_several_inputs_and_outputs_go_in_and_out_by_name(workplace):
    text = """
    net (float[N, 20] left, float[N, 20] right) => (float[N, 20] sum, float[N, 20] last) {
        [first] a = Gemm(left, w)
        [second] b = Gemm(right, w)
        [sum] sum = Add(a, b)
        [norm] n = LayerNormalization(sum, scale)
        [last] last = Gemm(n, w)
    }
    """
    random = np.random.default_rng(0)
    weight = random.normal(size=(20, 20)).astype(np.float32)
    workplace.save_model(text, w=weight, scale=np.ones(20, np.float32))
    given = {name: random.random((9, 20), dtype=np.float32) for name in ("left", "right")}
    np.savez(workplace.path / "both.npz", **given)
    words = ["--calibration", "both.npz", "--test", "both.npz", "--format", "twin", "--quiet"]

    codes = [
        main(["net.onnx", "--partial", *words, "--output", "build"]),
        main(["run", "build", "--input", "both.npz", "--output", "y.npz"]),
        main(["verify", "build", "--data", "both.npz"]),
    ]

    assert codes == [0, 0, 0]
    wanted = (given["left"] + given["right"]) @ weight
    with np.load(workplace.path / "y.npz") as outputs:
        assert outputs.files == ["sum", "last"]
        assert np.abs(outputs["sum"] - wanted).max() < 0.05 * np.abs(wanted).max()
    workplace.save_samples("flat.npz", shape=(40,))
    problem = workplace.refusal("run", "build", "--input", "flat.npz")
    assert "holds no array 'left'; it holds 'x'" in problem


def test_labels_that_are_no_answers_of_segments_are_named_with_their_file(place):
    place.save_samples("test.npz", shape=(20,), y=np.full(40, 20))

    told = place.refusal("net.onnx", "--partial", "--test", "test.npz", "--format", "twin")

    assert told.startswith("input data at 'test.npz': labels 'y' go from 20 to 20; ")


def test_a_segment_runs_by_itself(built):
    assert main(["run", "build/segments/1-chip", "--input", "test.npz"]) == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--workers", 2], "--workers is for builds of one piece"),
        (["--trace", "t.npz"], "--trace is for builds of one piece"),
    ],
)
def test_what_only_a_build_of_one_piece_can_do_is_refused(built, words, problem):
    assert problem in built.refusal("run", "build", "--input", "test.npz", *words)


def test_a_build_in_segments_is_verified_segment_by_segment_and_whole(built):
    code = main(["verify", "build", "--data", "test.npz", "--json"])

    found = json.loads(built.capsys.readouterr().out)
    rungs = {rung["rung"]: rung["status"] for rung in found["ladder"]}
    assert code == 0
    assert {status for name, status in rungs.items() if not name.endswith("/twin")} == {"ok"}
    assert {"1-chip/imported", "1-chip/step", "3-chip/lowered", "split", "chain"} <= set(rungs)
    assert {file["status"] for file in found["files"]} == {"ok"}


def test_the_rungs_to_verify_can_be_chosen(built):
    main(["verify", "build", "--data", "test.npz", "--rungs", "count,chain", "--json"])

    found = json.loads(built.capsys.readouterr().out)
    assert [rung["rung"] for rung in found["ladder"]] == [
        "1-chip/count",
        "3-chip/count",
        "chain",
    ]


@pytest.mark.parametrize("name", ["segments/2-host.onnx", "segments/1-chip/graph.npz"])
def test_a_file_that_was_changed_is_named(built, name):
    content = (built.path / "build" / name).read_bytes()
    (built.path / "build" / name).write_bytes(content + b" ")

    code = main(["verify", "build"])

    shown = built.capsys.readouterr()
    assert code in (2, 3)
    assert name in shown.out + shown.err


def test_a_model_without_such_nodes_is_compiled_as_ever(workplace):
    code = main(["net.onnx", "--partial", "--format", "twin"])

    assert code == 0
    assert "--partial changes nothing" in " ".join(workplace.capsys.readouterr().out.split())


def test_a_model_that_has_nothing_for_the_chip_is_refused(workplace):
    workplace.save_model("net (float[N, 4] x) => (float[N, 4] y) { y = Hardmax(x) }")

    problem = workplace.refusal("net.onnx", "--partial")

    assert "no part of the model is worth a segment on the chip" in problem


def test_check_says_what_would_run_on_the_host(place):
    code = main(["check", "net.onnx"])

    out = " ".join(place.capsys.readouterr().out.split())
    assert code == 4
    assert "fix: train with BatchNormalization, whose statistics are constants, or take" in out
    assert (
        "with --partial, the host runs 1 node and 100.0% of the multiply-accumulates stay on "
        "chip, in 2 segments"
    ) in out


def test_check_has_it_in_its_document(place):
    main(["check", "net.onnx", "--json"])

    found = json.loads(place.capsys.readouterr().out)
    assert found["partial"] == {
        "host": ["norm"],
        "chip_segments": 2,
        "share_of_multiply_accumulates": 1.0,
    }
