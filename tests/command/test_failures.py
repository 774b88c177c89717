"""Whatever goes wrong on the way has its own exit code, and nothing is left half-written."""

import dataclasses

import pytest

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
