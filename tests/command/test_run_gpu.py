"""``run --engine gpu`` gives what the count engine gives, or says that there is no GPU."""

import sys

import numpy as np
import pytest

from toolchain.cli import main


def test_outputs_are_those_of_the_count_engine(workplace, monkeypatch):
    pytest.importorskip("torch", reason="the gpu engine needs torch")
    monkeypatch.setenv("SNN_COMPILE_DEVICE", "cpu")
    workplace.compiled("net.onnx")
    for engine in ("gpu", "count"):
        words = ["run", "build", "--input", "test.npz", "--engine", engine]
        assert main([*words, "--output", f"{engine}.npz"]) == 0

    with np.load("gpu.npz") as gpu, np.load("count.npz") as count:
        np.testing.assert_array_equal(gpu["y"], count["y"])


def test_without_a_gpu_nothing_else_is_run_instead(workplace, monkeypatch):
    torch = pytest.importorskip("torch", reason="the gpu engine needs torch")
    monkeypatch.delenv("SNN_COMPILE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    workplace.compiled("net.onnx")

    problem = workplace.refusal("run", "build", "--input", "test.npz", "--engine", "gpu")

    assert f"engine 'gpu' cannot run here: torch {torch.__version__} finds no GPU" in problem


def test_without_torch_it_says_how_to_install_it(workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("targets.torch_counts.")]:
        if name != "targets.simulator.lazy_counts":
            monkeypatch.delitem(sys.modules, name)
    workplace.compiled("net.onnx")

    problem = workplace.refusal("run", "build", "--input", "test.npz", "--engine", "gpu")

    assert problem.endswith("not installed; install it with: pip install 'torch>=2.9'")
