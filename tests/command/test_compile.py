"""A compile leaves a whole build, and a report of it that holds what was printed."""

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest

from toolchain.cli import main

MODELS = Path(__file__).parents[2] / "models"


def test_a_build_goes_to_a_folder_named_after_model_and_target(workplace, capsys):
    code = main(["net.onnx"])

    assert code == 0
    assert "every promise kept" in capsys.readouterr().out
    assert sorted(path.name for path in workplace.path.iterdir()) == [
        "build", "calibration.npz", "net.onnx", "test.npz"
    ]  # fmt: skip
    assert [path.name for path in (workplace.path / "build").iterdir()] == ["net-loihi2"]
    assert (workplace.path / "build/net-loihi2/report.json").is_file()


def test_the_keys_of_a_report_are_stable(workplace, golden):
    report = workplace.compiled("net.onnx", "--test", "test.npz")

    def keys(value, prefix=""):
        if isinstance(value, list):
            value = value[0] if value else None
            prefix = f"{prefix}[]"
        if not isinstance(value, dict):
            return [prefix.lstrip(".")]
        return [line for key in value for line in keys(value[key], f"{prefix}.{key}")]

    golden("text/report_keys.txt", "\n".join(keys(report)) + "\n")


def test_the_report_is_about_the_model_and_leaves_no_node_out(workplace):
    report = workplace.compiled("net.onnx", "--levels", "7")

    assert report["model"]["name"] == "net"
    assert len(report["model"]["sha256"]) == 64
    assert report["nodes"] == {"in": 3, "accounted": 3}
    assert report["levels"] == 7


def test_the_manifest_of_a_build_is_what_it_holds(workplace):
    report = workplace.compiled("net.onnx")

    files = (path for path in workplace.path.glob("build/**/*") if path.is_file())
    assert report["manifest"] == sorted(
        p.relative_to(workplace.path / "build").as_posix() for p in files
    )


def test_json_prints_what_the_report_holds(workplace, capsys):
    main(["net.onnx", "--output", "build", "--json"])

    written = json.loads((workplace.path / "build/report.json").read_text())
    del written["written_by"], written["manifest"], written["sha256"]
    assert json.loads(capsys.readouterr().out) == written


@pytest.mark.lava
@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_every_exact_rung_differs_in_nothing(workplace, lowering):
    report = workplace.compiled("net.onnx", "--test", "test.npz", "--lowering", lowering)

    exact = [rung for rung in report["ladder"] if rung["promise"] == "exact"]
    assert {"lowered", "count", "step"} <= {rung["rung"] for rung in exact}
    for rung in exact:
        assert rung["status"] in ("ok", "skipped")
        assert rung["max_abs_error"] in (0.0, None)
        assert rung["first_difference"] is None


@pytest.mark.lava
def test_a_pipeline_keeps_every_promise_and_is_verified_as_one(workplace, capsys):
    """A chain of two hidden layers takes a sample every two trains of 15 steps."""
    words = ("--lowering", "temporal", "--test", "test.npz")
    plain = workplace.compiled("net.onnx", *words)
    report = workplace.compiled("net.onnx", *words, "--schedule", "pipelined")

    options = json.loads((workplace.path / "build/options.json").read_text())
    ladder = {rung["rung"]: rung for rung in report["ladder"]}
    assert options["schedule"] == report["schedule"] == "pipelined"
    assert plain["schedule"] == "sequential"
    assert plain["period"] == plain["time_steps"] == report["time_steps"]
    assert report["period"] < report["time_steps"]
    assert plain["periods"] == report["periods"]
    assert report["periods"] == {
        "sequential": plain["period"], "pipelined": report["period"]
    }  # fmt: skip
    assert report["spikes_per_sample"] == plain["spikes_per_sample"]
    assert ladder["step"]["status"] == ladder["lava"]["status"] == "ok"
    assert "--schedule sequential" in ladder["netx"]["why"]
    assert main(["verify", "build", "--data", "test.npz", "--rungs", "count,step"]) == 0


def test_rows_of_lowerings_have_both_periods(workplace):
    report = workplace.compiled("net.onnx", "--schedule", "sequential")

    for row in report["lowerings"]:
        assert row["period"] == row["periods"]["sequential"] == row["time_steps"]
        assert row["periods"]["pipelined"] < row["time_steps"]


def test_samples_without_labels_are_compared_and_no_answer_is_called_right(workplace):
    workplace.save_samples("test.npz", count=30, y=None)

    report = workplace.compiled("net.onnx", "--test", "test.npz", "--format", "twin")

    assert {rung["samples"] for rung in report["ladder"]} == {30}
    assert {rung["metric"] for rung in report["ladder"]} == {None}
    assert report["ladder"][1]["agreement"] == 1.0


def test_levels_can_be_chosen_by_the_compiler(workplace):
    assert workplace.compiled("net.onnx", "--levels", "auto")["levels"] >= 1


def test_the_network_can_be_seen_after_a_pass(workplace, capsys):
    main(["net.onnx", "--dump-after", "convert-to-spikes", "--quiet"])

    assert "MultiThreshold" in capsys.readouterr().out


def test_without_calibration_samples_thresholds_are_called_guesses(workplace, capsys):
    (workplace.path / "calibration.npz").unlink()

    code = main(["net.onnx"])

    assert code == 0
    assert "warning: thresholds are guesses" in capsys.readouterr().out


def test_a_build_is_replaced_as_a_whole(workplace):
    workplace.compiled("net.onnx", "--format", "lava", "--lowering", "spatial")
    (workplace.path / "net.onnx").unlink()
    workplace.save_model(**workplace.weights(seed=5))
    workplace.compiled("net.onnx")
    again = workplace.contents("build")

    (workplace.path / "build").rename(workplace.path / "elsewhere")
    workplace.compiled("net.onnx")

    assert workplace.contents("build") == again
    assert not list(workplace.path.glob(".*"))


def test_the_bundled_perceptron_keeps_its_accuracy(workplace):
    folder = MODELS / "digits_mlp"

    report = workplace.compiled(folder / "model.onnx", "--test", folder / "test.npz")

    shares = {rung["rung"]: rung["metric"] for rung in report["ladder"]}
    assert report["model"]["name"] == "digits_mlp"
    assert shares["count"] >= shares["onnxruntime"] - 0.005


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
def test_a_network_without_activations_compiles(workplace, lowering):
    linear = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>\n'
        "net (float[N, 4] x) => (float[N, 3] y)\n"
        "<float[4, 3] w = {1, 2, 3, -4, 5, 6, 7, -8, 9, 10, 11, 12}> { y = MatMul(x, w) }"
    )
    onnx.save(linear, workplace.path / "linear.onnx")
    (workplace.path / "calibration.npz").unlink()

    report = workplace.compiled("linear.onnx", "--lowering", lowering)

    assert {rung["status"] for rung in report["ladder"]} <= {"ok", "skipped"}
    assert report["layers"] == []


@pytest.mark.parametrize("command", [("net.onnx", "--output", "build"), ("check", "net.onnx")])
def test_no_line_of_what_is_printed_ends_with_blanks(workplace, capsys, command):
    main(list(command))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if line != line.rstrip()] == []
