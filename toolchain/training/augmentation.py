"""Random changes of training images that keep what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.training._torch import functional, torch

_SHIFT_MAX = 2


def augmented(x: Any, names: Sequence[str], generator: Any) -> Any:
    """Return images ``(batch, ..., H, W)`` changed at random, each on its own.

    Args:
        x: Images, or frames of samples; all frames of a sample change alike.
        names: ``mirror`` left to right, one of two; ``shift`` by up to 2 pixels each way,
            zeros moving in.
        generator: Of the random numbers, on the processor.
    """
    if "mirror" in names:
        chosen = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
        x = torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
    if "shift" in names:
        x = _shifted(x, generator)
    return x


def _shifted(x: Any, generator: Any) -> Any:
    height, width = x.shape[-2:]
    flat = x.reshape(len(x), -1, height, width)
    padded = functional.pad(flat, [_SHIFT_MAX] * 4)
    steps = torch.randint(0, 2 * _SHIFT_MAX + 1, (2, len(x)), generator=generator).to(x.device)
    rows = steps[0][:, None] + torch.arange(height, device=x.device)
    columns = steps[1][:, None] + torch.arange(width, device=x.device)
    picked = padded.gather(
        2, rows[:, None, :, None].expand(-1, flat.shape[1], -1, padded.shape[3])
    )
    picked = picked.gather(3, columns[:, None, None].expand(-1, flat.shape[1], height, -1))
    return picked.reshape(x.shape)
