"""The gpu engine gives what the count engine gives, and says what it needs."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import numpy as np
import pytest

from targets.engines import gpu
from toolchain.engine import ENGINES, Program
from toolchain.target import TARGETS
from toolchain.testing import compile_network, extreme_inputs, random_network, random_samples


@pytest.fixture
def on_cpu(monkeypatch):
    pytest.importorskip("torch", reason="the gpu engine needs torch")
    monkeypatch.setenv("SNN_COMPILE_DEVICE", "cpu")
    yield
    gpu._network.cache_clear()


def program(random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    stages = compile_network(network, x, TARGETS["loihi2"], levels=4, lowering="temporal")
    return Program(stages.quantized, stages.circuit), extreme_inputs(
        stages.quantized, random, 40
    )


def test_it_gives_what_the_count_engine_gives(on_cpu):
    compiled, inputs = program(Random(1))

    ours, theirs = (
        ENGINES[name].run(compiled, inputs, trace=False) for name in ("gpu", "count")
    )

    assert ENGINES["gpu"].missing() is None
    np.testing.assert_array_equal(ours.readout, theirs.readout)
    assert list(ours.counts) == list(theirs.counts)
    for name, counts in theirs.counts.items():
        np.testing.assert_array_equal(ours.counts[name], counts)


def test_pieces_of_a_data_set_share_one_network(on_cpu):
    compiled, inputs = program(Random(1))

    for piece in (inputs[:30], inputs[30:]):
        ENGINES["gpu"].run(compiled, piece, trace=False)

    assert (gpu._network.cache_info().misses, gpu._network.cache_info().hits) == (1, 1)


def test_a_device_that_torch_does_not_know_is_no_crash(on_cpu, monkeypatch):
    monkeypatch.setenv("SNN_COMPILE_DEVICE", "tpu")

    assert ENGINES["gpu"].missing() == (
        "SNN_COMPILE_DEVICE is 'tpu'; it may be cuda, cuda:1, ... or cpu; "
        "set SNN_COMPILE_DEVICE=cuda, or leave it unset"
    )


@pytest.mark.parametrize(
    ("torch", "problem"),
    [
        ("None", "the gpu engine needs torch, which is not installed"),
        ("old", "the gpu engine needs torch 2.9 or newer, and 2.3.0 is installed"),
    ],
)
def test_without_torch_it_says_how_to_install_it(torch, problem):
    code = (
        "import sys, types",
        "old = types.ModuleType('torch'); old.__version__ = '2.3.0'",
        "old.nn = types.ModuleType('torch.nn'); old.nn.functional = None",
        "old.backends = types.SimpleNamespace(cudnn=object())",
        f"sys.modules['torch'] = {torch}",
        "sys.modules['torch.nn'] = old.nn",
        "from toolchain.engine import ENGINES",
        "print(ENGINES['gpu'].missing())",
    )

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"{problem}; install it with: pip install 'torch>=2.9'\n"
