"""A run of a build gives what the ladder saw, in the units of the model, or a refusal."""

import numpy as np
import pytest

from toolchain.cli import main


@pytest.mark.parametrize("engine", ["count", "step"])
def test_a_run_gives_what_the_ladder_saw(workplace, capsys, engine):
    report = workplace.compiled("net.onnx", "--test", "test.npz")
    (rung,) = [rung for rung in report["ladder"] if rung["rung"] == engine]

    code = main(
        ["run", "build", "--input", "test.npz", "--engine", engine, "--output", "y.npz"]
    )

    with np.load("y.npz") as outputs, np.load("test.npz") as samples:
        y, x, labels = outputs["y"], samples["x"], samples["y"]
    source = run_source(workplace.path / "net.onnx", x)
    assert code == 0
    assert y.shape == source.shape
    assert f"right: {rung['metric']:.2%}" in capsys.readouterr().out
    assert (y.argmax(axis=1) == labels).mean() == pytest.approx(rung["metric"])
    assert (y.argmax(axis=1) == source.argmax(axis=1)).mean() == pytest.approx(
        rung["agreement"]
    )
    lost = sum(rung["max_abs_error"] or 0.0 for rung in report["ladder"])
    assert np.abs(y - source).max() <= lost + 1e-9


def run_source(path, x):
    """Return what onnxruntime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return y


def test_all_engines_give_the_same_outputs(workplace):
    workplace.compiled("net.onnx")
    for engine in ("count", "step"):
        words = ["run", "build", "--input", "test.npz", "--engine", engine]
        assert main([*words, "--output", f"{engine}.npz"]) == 0

    with np.load("count.npz") as count, np.load("step.npz") as step:
        np.testing.assert_array_equal(count["y"], step["y"])


def test_a_run_warns_of_samples_beyond_the_encoding(workplace, capsys):
    workplace.compiled("net.onnx")
    with np.load("test.npz") as held:
        workplace.save_samples("pixels.npz", x=held["x"] * 255)
    capsys.readouterr()

    assert main(["run", "build", "--input", "test.npz"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["run", "build", "--input", "pixels.npz"]) == 0

    warning = capsys.readouterr().err
    assert "of the values of input 'x' are clipped: they lie outside 0 to " in warning
    assert warning.startswith("warning: ")


def test_a_compilation_warns_of_test_samples_beyond_the_encoding(workplace):
    with np.load("test.npz") as held:
        workplace.save_samples("pixels.npz", x=held["x"] * 255)

    told = workplace.compiled("net.onnx", "--test", "pixels.npz")["warnings"]

    assert [sentence for sentence in told if "input 'x' are clipped" in sentence] == told
    assert len(told) == 1
    assert workplace.compiled("net.onnx", "--test", "test.npz")["warnings"] == []


def test_a_run_without_labels_tells_no_share(workplace, capsys):
    workplace.compiled("net.onnx")
    workplace.save_samples("unlabelled.npz", y=None)

    code = main(["run", "build", "--input", "unlabelled.npz"])

    assert code == 0
    assert "right" not in capsys.readouterr().out


def test_a_run_of_samples_of_another_shape_is_refused(workplace):
    workplace.compiled("net.onnx")
    workplace.save_samples("wide.npz", shape=(5,))

    problem = workplace.refusal("run", "build", "--input", "wide.npz", "--output", "y.npz")

    assert problem == (
        "input data at 'wide.npz': 'x' holds samples of shape (5,); the model reads (4,)"
    )


def test_a_run_of_what_is_no_build_is_refused(workplace):
    (workplace.path / "photos").mkdir()

    problem = workplace.refusal("run", "photos", "--input", "test.npz")

    assert problem.startswith("input data at 'photos': is not a build of ours")


def test_a_run_of_what_is_not_there_is_refused(workplace):
    workplace.refusal("run", "nowhere", "--input", "test.npz")


def test_a_run_of_a_damaged_build_is_refused(workplace):
    workplace.compiled("net.onnx")
    circuit = workplace.path / "build/circuit.npz"
    circuit.write_bytes(circuit.read_bytes()[:100])

    workplace.refusal("run", "build", "--input", "test.npz")


def test_a_run_with_an_unknown_engine_is_refused(workplace):
    workplace.compiled("net.onnx")

    problem = workplace.refusal("run", "build", "--input", "test.npz", "--engine", "warp")

    assert problem.startswith("look-up: no engine is called 'warp'")


def test_a_folder_of_shards_is_run_as_its_samples_are(workplace, capsys):
    workplace.compiled("net.onnx")
    (workplace.path / "shards").mkdir()
    with np.load("test.npz") as held:
        x, y = held["x"], held["y"]
    np.savez("shards/x_0.npz", x=x[:13], y=y[:13])
    np.savez("shards/x_1.npz", x=x[13:], y=y[13:])
    capsys.readouterr()

    for data, output in (("test.npz", "y.npz"), ("shards", "outputs")):
        assert main(["run", "build", "--input", data, "--output", output]) == 0

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("right")]
    assert told[0] == told[1]
    parts = [np.load(f"outputs/x_{number}.npz")["y"] for number in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), np.load("y.npz")["y"])


def test_a_trace_has_the_samples_and_populations_asked_for(workplace):
    workplace.compiled("net.onnx", "--lowering", "temporal", "--levels", "5")
    words = ["run", "build", "--input", "test.npz", "--trace", "t.npz"]

    code = main([*words, "--samples", "3,7-8", "--registers", "spikes,v", "--neurons", "0-1"])

    with np.load("t.npz") as held:
        trace = dict(held)
    (population,) = {name.rpartition(":")[0] for name in trace if ":" in name}
    assert code == 0
    assert trace["samples"].tolist() == [3, 7, 8]
    assert trace["neurons"].tolist() == [0, 1]
    assert trace[f"{population}:spikes"].shape == (3, 5, 2)
    assert trace[f"{population}:v"].shape[2] == 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--trace", "t.npz", "--output", "y.npz"], "--output does not go with --trace"),
        (["--samples", "3"], "--samples is for --trace"),
        (["--trace", "t.npz", "--samples", "40"], "there is no sample 40"),
        (["--trace", "t.npz", "--populations", "nobody"], "no population is called 'nobody'"),
        (["--trace", "t.npz", "--engine", "count"], "the engine 'count' traces nothing"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(workplace, words, problem):
    workplace.compiled("net.onnx")

    assert problem in workplace.refusal("run", "build", "--input", "test.npz", *words)


@pytest.mark.parametrize("word", ["", "5-3", "-3", "1,,2", "all"])
def test_what_is_no_list_of_numbers_is_refused(workplace, word):
    words = ["run", "build", "--input", "test.npz", "--trace", "t.npz"]

    with pytest.raises(SystemExit):
        main([*words, f"--samples={word}"])


@pytest.mark.parametrize("name", ["graph.npz", "circuit.npz"])
def test_a_file_that_has_changed_since_it_was_written_is_refused(workplace, capsys, name):
    workplace.compiled("net.onnx")
    path = workplace.path / "build" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    code = main(["run", "build", "--input", "test.npz"])

    assert code == 2
    assert "has changed since the build was written" in capsys.readouterr().err


def test_an_engine_that_runs_a_written_file_wants_it_as_it_was_written(workplace, capsys):
    workplace.compiled("net.onnx", "--format", "twin")
    path = workplace.path / "build" / "twin.onnx"
    path.write_bytes(path.read_bytes().replace(b"snn-compile", b"SNN-compile"))

    codes = [
        main(["run", "build", "--input", "test.npz", "--engine", engine])
        for engine in ("count", "twin")
    ]

    assert codes == [0, 2]
    assert "twin.onnx': has changed since the build was written" in capsys.readouterr().err
