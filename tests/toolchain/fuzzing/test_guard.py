"""A case that hangs, crashes, takes too much memory or reaches other files is a failure."""

import importlib

import pytest

from toolchain.fuzzing.guard import run_guarded

CASES = """
import os, signal, time
from pathlib import Path

def fine(seed, folder):
    (folder / "own").write_text("mine")
    return f"seed {seed}"

def second_fails(seed, folder):
    if seed == 2:
        raise ValueError("not two")
    return "fine"

def second_hangs(seed, folder):
    time.sleep(60 if seed == 2 else 0)
    return "fine"

def second_crashes(seed, folder):
    if seed == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return "fine"

def takes_memory(seed, folder):
    return str(len(bytearray(2**29)))

def writes_beside(seed, folder):
    (folder.parent / "other").write_text("not mine")
    return "fine"

def makes_a_folder_beside(seed, folder):
    (folder.parent / "other").mkdir()
    return "fine"

def reads_the_canary(seed, folder):
    return (folder / ".." / "secret").read_text()
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Return a function that gives a case by its name, of a module that can be imported."""
    (tmp_path / "cases_for_the_guard.py").write_text(CASES)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: getattr(importlib.import_module("cases_for_the_guard"), name)


def test_what_becomes_of_a_case_is_told(case):
    (outcome,) = run_guarded(case("fine"), [7])

    assert (outcome.seed, outcome.what, outcome.failure) == (7, "seed 7", "")


def test_an_exception_is_a_failure_with_its_traceback(case):
    outcomes = list(run_guarded(case("second_fails"), [1, 2, 3]))

    assert [bool(outcome.failure) for outcome in outcomes] == [False, True, False]
    assert outcomes[1].what == "ValueError: not two"
    assert "Traceback" in outcomes[1].failure


def test_a_case_that_hangs_is_ended_and_the_next_one_runs(case):
    outcomes = list(run_guarded(case("second_hangs"), [1, 2, 3], time_s=1.0))

    assert [outcome.what for outcome in outcomes] == ["fine", "takes more than 1 s", "fine"]
    assert "second_hangs" in outcomes[1].failure


def test_a_crash_of_the_process_is_a_failure_and_the_next_one_runs(case):
    outcomes = list(run_guarded(case("second_crashes"), [1, 2, 3]))

    assert [outcome.what for outcome in outcomes] == [
        "fine", "ends the process with -11", "fine",
    ]  # fmt: skip
    assert "second_crashes" in outcomes[1].failure


def test_too_much_memory_is_a_failure(case):
    (within,) = run_guarded(case("takes_memory"), [1], memory_bytes=2**30)
    (beyond,) = run_guarded(case("takes_memory"), [1], memory_bytes=2**28)

    assert within.what == str(2**29)
    assert beyond.what == "MemoryError:"


@pytest.mark.parametrize("name", ["writes_beside", "makes_a_folder_beside", "reads_the_canary"])
def test_files_beside_the_folder_of_a_case_are_out_of_reach(case, name):
    (outcome,) = run_guarded(case(name), [1])

    assert outcome.what.startswith("reaches ")
    assert outcome.failure
