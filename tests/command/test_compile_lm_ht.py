"""A trained LM-HT network goes through the whole command, its window axis with it."""

import json

import numpy as np
import onnx
import pytest

from toolchain.cli import main
from toolchain.frontend.testing import spiking_model
from toolchain.ir.reference import Windows
from toolchain.verification import analogue as verification

WINDOWS = 2
SHAPE = (WINDOWS, 1, 4, 4)


def text(windows=WINDOWS, *, frames=True, mixing=(0.75, -0.25, 0.5, 0.5)):
    def neuron(threshold):
        return (
            f"ai.snn_compile.MultiThreshold <levels = 3, windows = {windows}, "
            f"threshold = {threshold}, mixing = {list(mixing)}, retention = 0.75, "
            f"initial = {threshold / 2}>"
        )

    entry, axis = ("FoldWindows", f"{windows}, ") if frames else ("RepeatWindows", "")
    return f"""net (float[N, {axis}1, 4, 4] x) => (float[N, 3] y) {{
        a = ai.snn_compile.{entry} <windows = {windows}> (x)
        b = Conv <pads = [1, 1, 1, 1]> (a, k, kb)
        [first] c = {neuron(0.6)} (b)
        d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
        e = Flatten (d)
        f = Gemm (e, w1, b1)
        [second] g = {neuron(0.5)} (f)
        h = Gemm (g, w2, b2)
        y = ai.snn_compile.AverageWindows <windows = {windows}> (h) }}"""


def weights():
    random = np.random.default_rng(0)
    shapes = {
        "k": (2, 1, 3, 3), "kb": (2,), "w1": (8, 6), "b1": (6,), "w2": (6, 3), "b2": (3,)
    }  # fmt: skip
    return {name: random.normal(0.1, 0.6, s).astype(np.float32) for name, s in shapes.items()}


@pytest.fixture
def place(workplace):
    """Hold a network whose samples have a window axis, and such samples."""
    save(workplace)
    return workplace


def save(workplace, *, shape=SHAPE, windows=WINDOWS, **changed):
    model = spiking_model(text(windows, **changed), windows=windows, **weights())
    onnx.save(model, workplace.path / "net.onnx")
    for name in ("calibration.npz", "test.npz"):
        workplace.save_samples(name, shape=shape)


def rungs(report):
    return {rung["rung"]: rung for rung in report["ladder"]}


def test_every_promise_is_kept_and_every_node_accounted_for(place):
    report = place.compiled("net.onnx", "--test", "test.npz")

    assert report["nodes"] == {"in": 9, "accounted": 9}
    assert (report["levels"], report["windows"], report["method"]) == (3, 2, "trained")
    assert report["lowering"] == "temporal"
    found = rungs(report)
    assert {found[name]["status"] for name in found} <= {"ok", "skipped"}
    for name in ("lowered", "count", "step"):
        assert (found[name]["promise"], found[name]["max_abs_error"]) == ("exact", 0)
    assert found["imported"]["promise"] == "within 0.0001, ties apart"
    assert found["count"]["agreement"] > 0.8


@pytest.mark.lava
@pytest.mark.slow
def test_every_spike_on_lava_is_equal(place):
    report = place.compiled("net.onnx", "--test", "test.npz", "--format", "lava")

    lava = rungs(report)["lava"]
    assert (lava["status"], lava["max_abs_error"], lava["first_difference"]) == ("ok", 0, None)
    assert lava["samples"] >= 1


@pytest.mark.parametrize("engine", ["count", "step"])
def test_samples_with_windows_run_through_a_build(place, engine):
    report = place.compiled("net.onnx", "--test", "test.npz")

    code = main(
        ["run", "build", "--input", "test.npz", "--engine", engine, "--output", "y.npz"]
    )

    with np.load("y.npz") as outputs, np.load("test.npz") as samples:
        right = (outputs["y"].argmax(axis=1) == samples["y"]).mean()
    assert code == 0
    assert right == pytest.approx(rungs(report)[engine]["metric"])


def test_samples_without_their_windows_are_refused(place):
    place.save_samples("flat.npz", shape=SHAPE[1:])

    problem = place.refusal("net.onnx", "--test", "flat.npz")

    assert "samples of shape (1, 4, 4); the model reads (2, 1, 4, 4)" in problem


def test_static_samples_are_the_same_in_every_window(workplace):
    save(workplace, shape=SHAPE[1:], frames=False)

    report = workplace.compiled("net.onnx", "--test", "test.npz")

    assert report["windows"] == WINDOWS
    assert {rung["status"] for rung in report["ladder"]} <= {"ok", "skipped"}


def test_one_window_is_like_a_converted_network(workplace):
    save(workplace, shape=SHAPE[1:], windows=1, frames=False, mixing=(1.0,))

    report = workplace.compiled("net.onnx", "--test", "test.npz", "--lowering", "spatial")

    assert (report["windows"], report["levels"]) == (1, 3)
    assert {rung["status"] for rung in report["ladder"]} <= {"ok", "skipped"}


def test_trained_neurons_have_their_own_levels(place):
    report = place.compiled("net.onnx", "--levels", "auto")

    assert report["levels"] == 3
    assert not any("levels" in warning for warning in report["warnings"])


def test_without_calibration_nothing_but_the_input_is_a_guess(place):
    (place.path / "calibration.npz").unlink()

    report = place.compiled("net.onnx", "--test", "test.npz")

    assert {rung["status"] for rung in report["ladder"]} <= {"ok", "skipped"}
    assert report["warnings"][0].startswith("the steps of the input are guesses: ")


def test_the_summary_says_how_many_windows(place, capsys):
    main(["net.onnx", "--test", "test.npz", "--output", "build"])

    printed = capsys.readouterr().out
    assert "method trained, 3 levels, 2 windows" in printed


def test_bad_attributes_are_refused_by_name(place):
    model = onnx.load(place.path / "net.onnx")
    neuron = next(node for node in model.graph.node if node.name == "second")
    next(a for a in neuron.attribute if a.name == "retention").f = 1.5
    onnx.save(model, place.path / "net.onnx")

    problem = place.refusal("net.onnx")

    assert problem == (
        "import at 'second': MultiThreshold has retention=1.5; 0 to 1 are supported"
    )


def test_the_report_is_one_json_with_windows_beside_levels(place):
    place.compiled("net.onnx", "--test", "test.npz")

    keys = list(json.loads((place.path / "build" / "report.json").read_text()))

    assert keys.index("windows") == keys.index("levels") + 1


def test_a_spike_that_rounding_decides_is_told_and_breaks_nothing(workplace):
    neuron = (
        "<levels = 3, windows = 1, threshold = 0.3, mixing = [1.0], retention = 1.0, "
        "initial = 0.0>"
    )
    model = spiking_model(
        f"""net (float[N, 3] x) => (float[N, 3] y) {{
            a = ai.snn_compile.RepeatWindows <windows = 1> (x)
            b = MatMul (a, ones)
            [pop] c = ai.snn_compile.MultiThreshold {neuron} (b)
            d = MatMul (c, w)
            y = ai.snn_compile.AverageWindows <windows = 1> (d) }}""",
        windows=1,
        ones=np.ones((3, 4), np.float32),
        w=np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32),
    )
    onnx.save(model, workplace.path / "net.onnx")
    x = np.random.default_rng(1).random((40, 3)).astype(np.float32)
    x[7] = 0.1  # three of these are 0.3 in float32, and a little less in float64
    for name in ("calibration.npz", "test.npz"):
        workplace.save_samples(name, x=x)

    report = workplace.compiled("net.onnx", "--test", "test.npz")

    imported = rungs(report)["imported"]
    assert (imported["status"], imported["first_difference"]) == ("ok", None)
    assert imported["max_abs_error"] < 1e-5
    assert imported["why"].startswith(
        "4 of 160 spike counts are ties, by rounding errors; 1 of 40 samples have outputs that "
        "depend on one, by up to 0."
    )


def test_a_source_with_other_spikes_breaks_the_promise(place, monkeypatch):
    honest = verification.spike_source

    def dishonest(model, graph):
        run = honest(model, graph)

        def with_one_spike_more(x):
            y, sent = run(x)
            values = sent["second"].values.copy()
            values[3, 1, 2] += np.float32(0.5)
            return y, {**sent, "second": Windows(values)}

        return with_one_spike_more

    monkeypatch.setattr(verification, "spike_source", dishonest)

    code = main(["net.onnx", "--test", "test.npz", "--quiet", "--output", "build"])

    report = json.loads((place.path / "build" / "report.json").read_text())
    imported = rungs(report)["imported"]
    assert code == 3
    assert imported["status"] == "broken"
    assert "population 'second', neuron (2,), sample 3, window 1: " in imported["why"]
