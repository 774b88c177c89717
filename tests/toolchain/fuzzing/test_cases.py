"""Damaged models, netx files, archives and builds end in success or in one of our errors.

2,000 cases run by default, the same every time. ``SNN_COMPILE_FUZZ=100000`` runs so many, each
test for at most ``SNN_COMPILE_FUZZ_SECONDS`` (1,800); ``SNN_COMPILE_FUZZ_FIRST`` is the first
seed. A seed that fails goes into ``seeds.txt`` beside this file, which always runs.
"""

import itertools
import os
import time
from pathlib import Path
from random import Random

import pytest

from toolchain.fuzzing.build_case import run_build_case
from toolchain.fuzzing.guard import run_guarded
from toolchain.fuzzing.networks import NETWORKS
from toolchain.fuzzing.netx_case import run_netx_case
from toolchain.fuzzing.npz_case import run_npz_case
from toolchain.fuzzing.onnx_case import damaged_model, run_onnx_case
from toolchain.fuzzing.writer import Writer

CASES = int(os.environ.get("SNN_COMPILE_FUZZ", "2000"))
SECONDS = float(os.environ.get("SNN_COMPILE_FUZZ_SECONDS", "1800"))
FIRST = int(os.environ.get("SNN_COMPILE_FUZZ_FIRST", "0"))
KINDS = {
    "onnx": run_onnx_case,
    "netx": run_netx_case,
    "npz": run_npz_case,
    "build": run_build_case,
}
SHARES = {"onnx": 7, "netx": 1, "npz": 1, "build": 1}
"""Tests of each kind; all have as many cases."""

PARTS = [(kind, part) for kind, share in SHARES.items() for part in range(share)]
SEEDS = Path(__file__).with_name("seeds.txt")


def failures(kind, seeds, seconds):
    """Run cases until the time is up; return how many ran, and what failed."""
    end = time.monotonic() + seconds
    outcomes = itertools.takewhile(
        lambda _: time.monotonic() < end, run_guarded(KINDS[kind], seeds)
    )
    ran, failed = 0, []
    for outcome in outcomes:
        ran += 1
        if outcome.failure:
            failed.append(f"{kind} {outcome.seed}  {outcome.what}\n{outcome.failure}")
    return ran, failed


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_damaged_files_are_refused_or_done_right(kind, part):
    count = CASES // len(PARTS)
    first = FIRST + part * count

    ran, failed = failures(kind, range(first, first + count), SECONDS)

    assert not failed, "\n".join([f"{len(failed)} of {ran} failed", *failed[:3]])
    assert ran == count, f"{ran} of {count} cases ran in {SECONDS:g} s"


def known_seeds(kind):
    """Return the seeds of a kind that have failed once."""
    lines = [line.split() for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    return [int(words[1]) for words in lines if words[:1] == [kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_failed_once_does_not_fail_again(kind):
    seeds = known_seeds(kind)

    ran, failed = failures(kind, seeds, SECONDS)

    assert not failed, "\n".join(failed)
    assert ran == len(seeds)


def test_a_seed_gives_the_same_file_every_time(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()

    for seed in range(40):
        first = damaged_model(Random(f"onnx {seed}"), tmp_path / "first")
        second = damaged_model(Random(f"onnx {seed}"), tmp_path / "second")

        assert first.replace(b"/first", b"/second") == second


@pytest.mark.parametrize("draw", NETWORKS, ids=lambda draw: draw.__name__)
def test_networks_are_drawn_in_many_forms(draw):
    models = {draw(Writer(Random(seed))).SerializeToString() for seed in range(8)}

    assert len(models) == 8
