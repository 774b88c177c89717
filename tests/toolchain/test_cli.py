"""The command understands its arguments, prints what it should where it should, and no more."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import toolchain
from toolchain import cli, execution, pipeline
from toolchain.conversion import METHODS
from toolchain.engine import ENGINES
from toolchain.errors import ConversionError, UnknownNameError
from toolchain.evaluation.piece_result import PopulationTally, Tally
from toolchain.mapping import MAPPINGS
from toolchain.options import Options
from toolchain.report import Report, Rung
from toolchain.target import FORMATS, TARGETS

RUNG = Rung(rung="step", promise="exact", status="ok", samples=1, agreement=1.0)
REPORT = Report(
    model={"name": "net", "sha256": "0" * 64},
    target="loihi2",
    lowering="temporal",
    method="mmse",
    levels=15,
    windows=1,
    schedule="sequential",
    time_steps=32,
    period=32,
    periods={"sequential": 32, "pipelined": 30},
    nodes={"in": 3, "accounted": 3},
    neurons=10,
    synapses=20,
    spikes_per_sample=1.0,
    synaptic_operations_per_sample=2.0,
    saturations=0,
    ladder=(RUNG,),
    layers=(),
)


@pytest.fixture
def compiled(monkeypatch):
    """Replace the compiler by one that notes its options and does what it is told."""
    stub = SimpleNamespace(options=None, report=REPORT, error=None, dumped=())

    def compile_model(options, *, progress, dump):
        stub.options = options
        progress("import", 0, 1)
        for text in stub.dumped:
            dump(text)
        if stub.error is not None:
            raise stub.error
        return stub.report

    monkeypatch.setattr(pipeline, "compile_model", compile_model)
    return stub


def test_no_option_means_the_defaults_of_the_pipeline(compiled):
    cli.main(["net.onnx"])

    assert compiled.options == Options(model=Path("net.onnx"), output=Path("build/net-loihi2"))


def test_every_option_reaches_the_pipeline(compiled):
    words = "net.onnx --target a --calibration b --test c --levels 7 --lowering d --method e"
    words += " --pieces 8"
    words += " --format f,g --output h --dump-after i"
    words += " --max-bytes 1 --max-nodes 2 --max-elements 3 --max-seconds 4"

    cli.main(words.split())

    assert compiled.options == Options(
        model=Path("net.onnx"),
        target="a",
        calibration=Path("b"),
        test=Path("c"),
        levels=7,
        lowering="d",
        method="e",
        pieces=8,
        formats=("f", "g"),
        output=Path("h"),
        dump_after="i",
        max_bytes=1,
        max_nodes=2,
        max_elements=3,
        max_seconds=4,
    )


def test_levels_can_be_left_to_the_compiler(compiled):
    cli.main(["net.onnx", "--levels", "auto"])

    assert compiled.options.levels is None


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.onnx", "b.onnx"],
        ["a.onnx", "--levels", "0"],
        ["a.onnx", "--levels", "-1"],
        ["a.onnx", "--levels", "many"],
        ["a.onnx", "--format", "netx,"],
        ["a.onnx", "--frobnicate"],
        ["run", "build"],
        ["run", "--input", "x.npz"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)

    assert end.value.code == 2
    assert "usage: snn-compile" in capsys.readouterr().err


def test_the_summary_is_printed(compiled, capsys):
    code = cli.main(["net.onnx"])

    out, err = capsys.readouterr()
    assert code == 0
    assert "build/net-loihi2" in out
    assert out.endswith("every promise kept\n")
    assert err == ""


def test_quiet_prints_nothing(compiled, capsys):
    assert cli.main(["net.onnx", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_json_prints_the_report_alone(compiled, capsys):
    compiled.dumped = ("graph net",)

    cli.main(["net.onnx", "--json", "--dump-after", "lower"])

    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(json.dumps(dataclasses.asdict(REPORT)))
    assert err == "graph net\n"


def test_a_dumped_graph_is_printed(compiled, capsys):
    compiled.dumped = ("graph net",)

    cli.main(["net.onnx", "--quiet", "--dump-after", "lower"])

    assert capsys.readouterr().out == "graph net\n"


def test_an_error_of_the_user_is_printed_in_its_own_form(compiled, capsys):
    compiled.error = ConversionError("the layer is dead", node="relu1", hint="calibrate")

    code = cli.main(["net.onnx"])

    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err == (
        "convert at 'relu1': the layer is dead\n"
        "  hint: calibrate\n"
        "  more: snn-compile explain SNN-CONVERT\n"
    )


def test_a_broken_promise_has_its_own_exit_code(compiled, capsys):
    broken = dataclasses.replace(RUNG, status="broken", why="it differs")
    compiled.report = dataclasses.replace(REPORT, ladder=(broken,))

    code = cli.main(["net.onnx"])

    assert code == 3
    assert "broken promise: step" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_a_broken_promise_is_no_secret(compiled, option):
    compiled.report = dataclasses.replace(
        REPORT, ladder=(dataclasses.replace(RUNG, status="broken"),)
    )

    assert cli.main(["net.onnx", option]) == 3


def test_a_bug_is_one_sentence(compiled, capsys):
    compiled.error = KeyError("relu1")

    code = cli.main(["net.onnx"])

    out, err = capsys.readouterr()
    assert code == 1
    assert out == ""
    assert err == "internal error: KeyError: 'relu1'; this is a bug, --debug shows where\n"


def test_a_bug_without_a_message_is_told_too(compiled, capsys):
    compiled.error = RuntimeError()

    assert cli.main(["net.onnx"]) == 1
    assert "internal error: RuntimeError" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_if_asked(compiled, capsys):
    compiled.error = KeyError("relu1")

    cli.main(["net.onnx", "--debug"])

    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_if_the_environment_asks(compiled, capsys, monkeypatch):
    monkeypatch.setenv("SNN_COMPILE_DEBUG", "1")
    compiled.error = KeyError("relu1")

    cli.main(["net.onnx"])

    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interruption_is_no_bug(compiled, capsys):
    compiled.error = KeyboardInterrupt()

    assert cli.main(["net.onnx"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("option", "name", "hint"),
    [
        ("--target", "loihi3", "did you mean 'loihi2'?"),
        ("--lowering", "temporl", "did you mean 'temporal'?"),
        ("--method", "percentil", "did you mean 'percentile'?"),
        ("--format", "netxx", "did you mean 'netx'?"),
    ],
)
def test_an_unknown_name_is_answered_with_a_guess(option, name, hint, capsys):
    model = Path(__file__).parents[2] / "models" / "digits_mlp" / "model.onnx"

    assert cli.main([str(model), option, name]) == 2
    assert f"  hint: {hint}\n" in capsys.readouterr().err


def test_an_unknown_pass_is_refused():
    assert cli.main(["net.onnx", "--dump-after", "fold-nothing"]) == 2


def test_the_help_is_this_text(golden, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    texts = []
    for words in (["--help"], *([name, "--help"] for name in sorted(cli.COMMANDS))):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0
        texts.append(capsys.readouterr().out)

    golden("text/help.txt", "\n".join(texts))


@pytest.mark.parametrize(
    ("words", "option", "registry"),
    [
        (["--help"], "--target", TARGETS),
        (["--help"], "--lowering", MAPPINGS),
        (["--help"], "--method", METHODS),
        (["--help"], "--format", FORMATS),
        (["run", "--help"], "--engine", ENGINES),
    ],
)
def test_the_help_names_all_that_is_registered(words, option, registry, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.main(words)

    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.strip().startswith(option)]
    assert ", ".join(registry) in line


def test_the_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out == f"snn-compile {toolchain.__version__}\n"


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_imports_nothing_heavy(command):
    script = (
        "import sys, contextlib, io\n"
        "from toolchain.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({[*filter(None, [command]), '--help']})\n"
        "print(sorted({'numpy', 'onnx', 'onnxruntime', 'rich', 'h5py', 'lava'} "
        "& set(sys.modules)))\n"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Replace runs by ones that note what they were given; make samples and a build."""
    stub = SimpleNamespace(
        folder=None, given={}, error=None, path=tmp_path / "x.npz", counted={}
    )

    def run_build(folder, data, **given):
        stub.folder, stub.given = folder, given
        if stub.error is not None:
            raise stub.error
        tally = Tally(samples=40, answers=40, right=39, **stub.counted)
        return execution.RunResult(tally, given["engine"], 0.25)

    monkeypatch.setattr(execution, "run_build", run_build)
    np.savez(stub.path, x=np.arange(6.0).reshape(2, 3), y=np.array([0, 1]))
    return stub


def test_a_run_prints_how_many_answers_are_right(ran, capsys):
    code = cli.main(["run", "build/net", "--input", str(ran.path)])

    assert code == 0
    assert ran.folder == Path("build/net")
    assert capsys.readouterr().out == (
        "engine count: 40 samples in 0.25 s\n"
        "right: 97.50%, 39 of 40\n"
    )  # fmt: skip


def test_a_run_prints_what_its_engine_counts(ran, capsys):
    ran.counted = {"spikes": 120, "synaptic_operations": 4321}

    cli.main(["run", "build/net", "--input", str(ran.path)])

    assert capsys.readouterr().out.endswith("spikes: 120\nsynaptic operations: 4321\n")


def test_a_run_prints_what_each_population_sent(ran, capsys):
    ran.counted = {"spikes": 120, "synaptic_operations": 4321}
    ran.counted["populations"] = (
        PopulationTally("relu1", (60, 20), 4000),
        PopulationTally("relu2", (30,), 300),
    )

    cli.main(["run", "build/net", "--input", str(ran.path)])

    assert capsys.readouterr().out.splitlines()[2:] == [
        "spikes: 120",
        "synaptic operations: 4321",
        "population            spikes  synaptic operations  spikes by window",
        "relu1                     80                 4000  60 + 20",
        "relu2                     30                  300",
        "inputs and constants      10                   21",
    ]


def test_a_run_takes_the_engine_asked_for(ran):
    cli.main(["run", "build/net", "--input", str(ran.path), "--engine", "step"])

    assert ran.given["engine"] == "step"


@pytest.mark.parametrize(
    ("words", "workers"),
    [
        ([], None),
        (["--workers", "3"], execution.Workers(3)),
        (["--workers", "1", "--cluster", "head:6379"], execution.Workers(1, "head:6379")),
    ],
)
def test_a_run_is_shared_by_as_many_workers_as_are_asked_for(ran, words, workers):
    cli.main(["run", "build/net", "--input", str(ran.path), *words])

    assert ran.given["workers"] == workers


def test_a_cluster_without_workers_is_refused(ran, capsys):
    code = cli.main(["run", "build/net", "--input", str(ran.path), "--cluster", "head:6379"])

    assert code == 2
    assert "hint: say how many with --workers" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0", "-1", "many"])
def test_a_number_of_workers_is_above_0(ran, word, capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "build/net", "--input", str(ran.path), "--workers", word])

    assert "no number of workers above 0" in capsys.readouterr().err


def test_a_run_of_a_file_is_that_of_a_network(ran, monkeypatch, capsys):
    def run_network_file(path, data, *, output, progress):
        assert path == data == ran.path
        return execution.RunResult(Tally(samples=2, answers=0, right=0), "step", 0.5)

    monkeypatch.setattr(execution, "run_network_file", run_network_file, raising=False)

    code = cli.main(["run", str(ran.path), "--input", str(ran.path)])

    assert code == 0
    assert capsys.readouterr().out == "engine step: 2 samples in 0.50 s\n"


@pytest.mark.parametrize(("option", "word"), [("--engine", "lava"), ("--workers", "2")])
def test_a_network_file_has_no_choice_of_engines_or_workers(ran, capsys, option, word):
    code = cli.main(["run", str(ran.path), "--input", str(ran.path), option, word])

    assert code == 2
    assert f"{option} is for builds" in capsys.readouterr().err


def test_a_run_says_where_the_outputs_are(ran, tmp_path, capsys):
    output = tmp_path / "y.npz"

    cli.main(["run", "build/net", "--input", str(ran.path), "--output", str(output)])

    assert ran.given["output"] == output
    assert capsys.readouterr().out.endswith(f"written: {output}\n")


def test_a_run_that_is_refused_writes_nothing(ran, tmp_path, capsys):
    ran.error = UnknownNameError("no engine is called 'warp'")
    output = tmp_path / "y.npz"

    code = cli.main(["run", "build/net", "--input", str(ran.path), "--output", str(output)])

    assert code == 2
    assert not output.exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("look-up: no engine is called 'warp'\n")
