"""The engine runs where the environment says, and says so where it cannot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the gpu engine needs torch")

from targets.torch_counts.device import (  # noqa: E402
    DEVICE_VARIABLE,
    batch_size,
    chosen_device,
    missing_device,
)
from toolchain.errors import InputDataError  # noqa: E402
from toolchain.ir.ann import Input, Output  # noqa: E402
from toolchain.ir.graph import Graph  # noqa: E402


def graph(*shape):
    entry = Input(name="x", shape=shape, source_shape=shape)
    return Graph("net", (entry, Output(name="y", inputs=("x",), shape=shape)))


@pytest.mark.parametrize(
    ("name", "device"), [(None, "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_the_environment_names_the_device(name, device, monkeypatch):
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    if name is not None:
        monkeypatch.setenv(DEVICE_VARIABLE, name)

    assert chosen_device() == torch.device(device)


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cuda:x"])
def test_other_devices_are_refused(name, monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, name)

    with pytest.raises(InputDataError) as error:
        chosen_device()

    assert (
        error.value.problem
        == f"SNN_COMPILE_DEVICE is {name!r}; it may be cuda, cuda:1, ... or cpu"
    )


def test_the_cpu_is_always_there(monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")

    assert missing_device() is None


def test_without_a_gpu_it_says_so_and_names_another_engine(monkeypatch):
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert missing_device() == (
        f"torch {torch.__version__} finds no GPU; use engine 'count', which gives the same "
        "integers on the CPU (or set SNN_COMPILE_DEVICE=cpu to run this one there)"
    )


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert missing_device() == "SNN_COMPILE_DEVICE is cuda:3, and torch finds 2 GPUs"


@pytest.mark.parametrize(
    ("free", "samples"),
    [(2**40, 256), (2 * 2400 * 100, 100), (1, 1)],
    ids=["much", "some", "no"],
)
def test_a_batch_takes_half_of_the_free_memory(free, samples, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2**40))

    assert batch_size(graph(100), SimpleNamespace(type="cuda")) == samples


def test_a_batch_on_the_cpu_is_small():
    assert batch_size(graph(100), torch.device("cpu")) == 32
