"""Whatever goes wrong on the way has its own exit code, and nothing is left half-written."""

import dataclasses
import json

import numpy as np
import pytest

from toolchain import pipeline
from toolchain.cli import main
from toolchain.engine import ENGINES
from toolchain.verification import ladder


def test_a_broken_rung_has_its_own_exit_code_and_is_named(workplace, capsys, monkeypatch):
    count = ENGINES["count"]

    def off_by_one(program, inputs, *, trace):
        execution = count.run(program, inputs, trace=trace)
        return dataclasses.replace(execution, readout=execution.readout + 1)

    broken = dataclasses.replace(count, run=off_by_one)
    monkeypatch.setitem(ENGINES._things, "count", broken)

    code = main(["net.onnx"])

    out, err = capsys.readouterr()
    assert code == 3
    assert err == ""
    assert "broken promise: count" in out


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (ZeroDivisionError, 1)])
def test_whatever_stops_a_compile_leaves_nothing(workplace, capsys, monkeypatch, kind, code):
    def stop(*arguments, **options):
        raise kind

    monkeypatch.setattr(ladder.RungTally, "finish", stop)
    before = workplace.contents()

    found = main(["net.onnx"])

    assert found == code
    assert "Traceback" not in capsys.readouterr().err
    assert workplace.contents() == before


@pytest.mark.parametrize("when", ["climb_analogue", "climb"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_model_that_changes_while_it_is_compiled_is_named(
    workplace, capsys, monkeypatch, when, is_gone
):
    def change(*arguments, **options):
        if is_gone:
            (workplace.path / "net.onnx").unlink()
        else:
            workplace.save_model(b2=np.zeros(3, np.float32))
        return then(*arguments, **options)

    then = getattr(pipeline, when)
    monkeypatch.setattr(pipeline, when, change)

    code = main(["net.onnx", "--output", "build"])

    why = "no such file or directory" if is_gone else "its digest is another"
    assert code == 2
    assert not (workplace.path / "build").exists()
    assert capsys.readouterr().err == (
        f"import at 'net.onnx': has changed since it was imported: {why}\n"
        "  hint: leave the model as it is until the command is done\n"
        "  more: snn-compile explain SNN-MODEL\n"
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_outputs_that_are_not_finite_are_null_in_json(workplace, capsys):
    scales = {"w1": np.full((4, 8), 1e20, np.float32), "w2": np.full((8, 3), 1e20, np.float32)}
    workplace.save_model(**scales)

    code = main(["net.onnx", "--json", "--format", "twin", "--output", "build"])

    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    written = (workplace.path / "build/report.json").read_text()
    assert code == 3
    assert None in [rung["max_abs_error"] for rung in printed["ladder"][1:]]
    assert printed.items() <= json.loads(written, parse_constant=pytest.fail).items()
