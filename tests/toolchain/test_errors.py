"""Errors say at which stage and node, what was found, and one way out."""

from __future__ import annotations

import inspect
import re

import pytest

from toolchain import errors
from toolchain.errors import CompileError

CLASSES = [
    thing
    for _, thing in inspect.getmembers(errors, inspect.isclass)
    if issubclass(thing, CompileError)
]
STAGES = {
    "CompileError": "compile",
    "ImportModelError": "import",
    "UnsupportedOpError": "import",
    "InputDataError": "input data",
    "VerifyError": "verify",
    "ConversionError": "convert",
    "RangeError": "quantize",
    "CapacityError": "map",
    "EmitError": "emit",
    "TrainingError": "train",
    "OutputFolderError": "write",
    "TimeLimitError": "time",
    "UnknownNameError": "look-up",
    "WorkerError": "workers",
    "MissingDependencyError": "environment",
}


@pytest.mark.parametrize("error", CLASSES)
def test_a_message_has_stage_node_problem_and_hint(error):
    found = error("weights are 9 bits; 8 are allowed", node="conv1", hint="use smaller ones")

    assert str(found) == (
        f"{STAGES[error.__name__]} at 'conv1': weights are 9 bits; 8 are allowed\n"
        "  hint: use smaller ones"
    )
    assert found.args == (str(found),)


@pytest.mark.parametrize("error", CLASSES)
def test_node_and_hint_are_left_out_where_there_are_none(error):
    found = error("there are no samples")

    assert str(found) == f"{STAGES[error.__name__]}: there are no samples"
    assert (found.problem, found.node, found.hint) == ("there are no samples", None, None)


def test_every_class_has_a_code_of_its_own():
    codes = [error.code for error in CLASSES]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"SNN-[A-Z]+", code) for code in codes)


def test_the_stages_are_those_of_the_classes():
    assert {error.__name__ for error in CLASSES} == set(STAGES)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.RangeError, ArithmeticError),
        (errors.UnknownNameError, LookupError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_some_are_also_what_python_calls_them(error, builtin):
    with pytest.raises(builtin, match="told"):
        raise error("told")


@pytest.mark.parametrize("error", CLASSES)
def test_every_class_says_when_it_is_raised(error):
    assert inspect.getdoc(error)
