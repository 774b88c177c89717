"""Which device the engine runs on, and how many samples at once."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.torch_counts._torch import torch
from toolchain.errors import InputDataError
from toolchain.ir.ann import Conv
from toolchain.ir.graph import Graph

DEVICE_VARIABLE = "SNN_COMPILE_DEVICE"
"""Environment variable: a device in torch's words; ``cuda`` if not set."""

_BATCH_MAX = {"cuda": 256, "cpu": 32}
_MEMORY_SHARE = 0.5
_CPU_BYTES = 2**30


def chosen_device() -> Any:
    """Return the device that the environment names, the first GPU otherwise.

    Raises:
        InputDataError: The environment names none that the engine runs on.
    """
    name = os.environ.get(DEVICE_VARIABLE, "cuda")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in _BATCH_MAX:
        raise InputDataError(
            f"{DEVICE_VARIABLE} is {name!r}; it may be cuda, cuda:1, ... or cpu",
            hint=f"set {DEVICE_VARIABLE}=cuda, or leave it unset",
        )
    return device


def missing_device() -> str | None:
    """Return why the chosen device cannot be used and what to do; `None` if it can."""
    device = chosen_device()
    if device.type == "cpu":
        return None
    if not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} finds no GPU; use engine 'count', which gives the same "
            f"integers on the CPU (or set {DEVICE_VARIABLE}=cpu to run this one there)"
        )
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        return f"{DEVICE_VARIABLE} is {device}, and torch finds {count} GPUs"
    return None


def batch_size(graph: Graph, device: Any) -> int:
    """Return how many samples fit into half of the memory that is free, at most 256.

    On the CPU at most 32 and 1 GiB.
    """
    free = _CPU_BYTES
    if device.type == "cuda":
        free = int(_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
    return max(1, min(_BATCH_MAX[device.type], free // _sample_bytes(graph)))


def to_device(x: npt.NDArray[Any], device: Any) -> Any:
    """Return integers ``(batch, *shape)`` as float32 on a device, channels last in memory."""
    moved = torch.from_numpy(np.ascontiguousarray(x)).to(device).to(torch.float32)
    return moved.to(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def _sample_bytes(graph: Graph) -> int:
    """Bound the memory of a sample: all values in float32, and the largest layer's own."""
    values = {name: 4 * int(np.prod(shape)) for name, shape in graph.shapes.items()}
    unrolled = (
        2 * values[conv.name] // len(conv.weight) * conv.weight[0].size
        for conv in graph.of_type(Conv)
    )
    return sum(values.values()) + max(unrolled, default=0) + 4 * max(values.values())
