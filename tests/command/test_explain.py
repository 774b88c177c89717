"""``snn-compile explain`` and ``ops`` print what the documentation says, from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def test_an_error_names_the_code_that_explain_takes(workplace, capsys):
    main(["nothing.onnx"])
    command = capsys.readouterr().err.splitlines()[-1].removeprefix("  more: snn-compile ")

    code = main(command.split())

    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("SNN-MODEL: ImportModelError, at stage 'import'\n")
    assert "Ways out:\n- " in out


def test_without_a_code_all_are_listed(capsys):
    assert main(["explain"]) == 0

    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    page = (DOCS / "errors.md").read_text()
    assert "SNN-CAPACITY" in listed
    assert all(f"## {code}\n" in page for code in listed)


@pytest.mark.parametrize("word", ["SNN-NOTHING", "", "\x00"])
def test_an_unknown_code_is_refused(workplace, word):
    assert workplace.refusal("explain", word).startswith("look-up: no error has the code")


def test_ops_prints_the_page_of_the_documentation(capsys):
    assert main(["ops"]) == 0
    assert capsys.readouterr().out == (DOCS / "supported-operators.md").read_text()


@pytest.mark.parametrize("command", ["ops", "explain"])
def test_words_that_make_no_sense_are_refused(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "a", "b"])

    assert end.value.code == 2
    assert f"usage: snn-compile {command}" in capsys.readouterr().err
