"""The command as a process of its own prints what it should and ends with its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = "import sys; from toolchain.cli import main; sys.exit(main())"


def start(*words):
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", START, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.slow
def test_a_process_prints_the_summary_and_ends_with_zero(workplace):
    ended = start("net.onnx", "--test", "test.npz")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "every promise kept" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert max(len(line.rstrip()) for line in ended.stdout.splitlines()) <= 80


def test_a_process_prints_a_refusal_and_ends_with_two(workplace):
    ended = start("test.npz")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("import at 'test.npz': ")


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_bug(workplace):
    command = f"{sys.executable} -c '{START}' net.onnx --json | head -c 1"

    ended = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )

    assert (ended.stdout, ended.stderr) == ("{", "")
