"""The benchmarks run: each of them once, on networks so small that nothing is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

FOLDER = Path(__file__).parent
SMALL = "lenet:width=0.1"
COMMANDS = {
    "throughput": ("--networks", SMALL, "--batches", "2", "--rounds", "1", "--turn", "0"),
    "growth": ("--network", SMALL, "--of", "levels", "--rounds", "1", "--turn", "0"),
    "memory": ("--network", SMALL, "--batches", "2"),
    "compile_time": (SMALL, "--without-lava", "--lowering", "temporal", "--repeats", "1"),
}


@pytest.fixture(autouse=True)
def _beside_the_scripts(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.slow
@pytest.mark.parametrize("script", COMMANDS)
def test_a_benchmark_runs(script, tmp_path):
    command = [sys.executable, FOLDER / f"{script}.py", *COMMANDS[script]]

    done = subprocess.run(
        [*command, "--threads", "1", "--json", tmp_path / "found.json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "count" in json.dumps(json.loads((tmp_path / "found.json").read_text()))


@pytest.mark.parametrize("kind", ["lenet", "vgg16", "resnet18"])
def test_folding_keeps_a_network_and_half_of_it_is_active(kind):
    from networks import Network, build, draw_samples

    network = Network(kind, width=0.05)
    model, unfolded = build(network), build(Network(kind, width=0.05, is_folded=False))
    rectified = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in rectified)
    x = draw_samples(network, 32, seed=0)

    y, *values = run(model, x)

    np.testing.assert_allclose(run(unfolded, x)[0], y, atol=1e-3 * np.abs(y).max())
    assert all(0.3 < (value > 0).mean() < 0.8 for value in values)


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})


def test_a_network_is_written_as_it_is_read():
    from networks import read_network

    for text in ("vgg16", "lenet:depth=3", "resnet18:width=0.5,side=64", "vgg16:folded=0"):
        assert str(read_network(text)) == text


def test_every_contender_has_its_turn_in_every_round_and_is_first_in_turn():
    from contest import Contender, Effort, race

    turns = []
    contenders = [Contender(name, 4, lambda name=name: turns.append(name)) for name in "ab"]

    race(contenders, Effort(rounds=3, turn_s=0))

    prepared, rounds = turns[:4], turns[4:]
    assert prepared == ["a", "a", "b", "b"]
    assert rounds == ["a", "a", "b", "b", "b", "b", "a", "a", "a", "a", "b", "b"]
    assert [len(one.rates) for one in contenders] == [3, 3]


def test_a_ratio_is_that_of_the_rounds():
    from contest import Contender

    ours = Contender("ours", 1, print, rates=[2.0, 30.0, 6.0])
    theirs = Contender("theirs", 1, print, rates=[1.0, 10.0, 3.0])

    assert ours.ratio(theirs) == 2.0


def test_what_slows_a_whole_round_leaves_rates_even():
    from contest import Contender
    from goals import evenness

    base = Contender("1 level", 1, print, rates=[100.0, 50.0, 99.0], cpu_s=[1.0])
    steady = Contender("15 levels", 1, print, rates=[95.0, 47.5, 100.0], cpu_s=[1.0])
    slower = Contender("255 levels", 1, print, rates=[88.0, 44.0, 89.0], cpu_s=[1.0])

    assert evenness("t", [base, steady]) == "| t | 0.9 | 0.950 | 1.00 | 1.00 | reached |"
    assert evenness("t", [base, slower]).endswith(" 0.880 | 0.890 | 1.00 | **missed** |")


def test_only_its_section_of_the_page_is_rewritten(tmp_path):
    from page import rewrite

    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\nc\n")

    rewrite("x", "new", page)

    wanted = "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb\n<!-- y: begin -->\nc\n"
    assert page.read_text() == wanted


def test_the_page_has_a_section_for_each_benchmark():
    from page import PAGE
    from suite import SECTIONS

    text = PAGE.read_text(encoding="utf-8")

    assert all(f"<!-- {section}: begin -->" in text for section in SECTIONS)
