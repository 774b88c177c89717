"""Bars are drawn for stages that take long, on terminals only, and leave nothing behind."""

import io
import time

import pytest
from rich.console import Console

from toolchain.reporting import progress


@pytest.fixture
def console():
    return Console(file=io.StringIO(), force_terminal=True, width=60)


def wait_for(console, text):
    """Wait until a text is on the console; fail if it never is."""
    deadline = time.monotonic() + 20
    while text not in console.file.getvalue():
        assert time.monotonic() < deadline, f"{text} was never drawn"
        time.sleep(0.01)


def test_a_slow_stage_gets_a_bar(console, monkeypatch):
    monkeypatch.setattr(progress, "SLOW_S", 0.0)

    with progress.progress_bars(console) as show:
        show("verify", 3, 10)

        wait_for(console, "verify")
        wait_for(console, "3/10")


def test_a_slow_stage_that_tells_nothing_more_gets_a_bar(console, monkeypatch):
    monkeypatch.setattr(progress, "SLOW_S", 0.0)

    with progress.progress_bars(console) as show:
        show("lava", 0, 1)

        wait_for(console, "lava")

    assert "/" not in console.file.getvalue()


def test_quick_stages_get_none(console):
    with progress.progress_bars(console) as show:
        for stage in ("import", "prepare", "convert"):
            show(stage, 0, 1)

    assert "import" not in console.file.getvalue()
    assert "convert" not in console.file.getvalue()


def test_a_file_gets_none(monkeypatch):
    monkeypatch.setattr(progress, "SLOW_S", 0.0)
    console = Console(file=io.StringIO())

    with progress.progress_bars(console) as show:
        show("verify", 3, 10)
        time.sleep(0.05)

    assert "verify" not in console.file.getvalue()


def test_an_error_in_a_stage_comes_through(console):
    with pytest.raises(ZeroDivisionError), progress.progress_bars(console) as show:
        show("verify", 0, 10 // 0)
