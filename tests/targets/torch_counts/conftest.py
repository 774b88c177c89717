"""The devices that tests run on: always the CPU, and a GPU where torch finds one."""

from __future__ import annotations

import importlib.util

import pytest

DEVICES = ["cpu"]

if importlib.util.find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)
    if torch.cuda.is_available():
        DEVICES.append("cuda")


@pytest.fixture(params=DEVICES, scope="session")
def device(request):
    """Return a device of torch."""
    torch = pytest.importorskip("torch", reason="the gpu engine needs torch")
    return torch.device(request.param)
