"""Settings of torch under which its sums are what `forms` says they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from targets.torch_counts._torch import torch

_BACKENDS = (
    (torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
    (torch.backends.mkldnn.conv, "fp32_precision", "ieee"),
    (torch.backends.mkldnn.matmul, "fp32_precision", "ieee"),
    (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
    (torch.backends.cuda.matmul, "allow_fp16_accumulation", False),
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cudnn, "deterministic", True),
)
_TF32 = (
    (torch.backends.cudnn.conv, "fp32_precision", "tf32"),
    (torch.backends.cuda.matmul, "fp32_precision", "tf32"),
)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Turn off, for a while, what trades bits for speed, and gradients.

    Float32 is float32, half precision is summed in float32, and one shape always takes one
    algorithm, so that what has passed its test stays what it was.
    """
    with torch.inference_mode(), _set(_BACKENDS):
        yield


@contextmanager
def tensor_float() -> Iterator[None]:
    """Let float32 products run on tensor cores, which read 11 bits of each factor."""
    with _set(_TF32):
        yield


@contextmanager
def _set(settings: tuple[tuple[object, str, object], ...]) -> Iterator[None]:
    before = [getattr(backend, name) for backend, name, _ in settings]
    for backend, name, value in settings:
        setattr(backend, name, value)
    try:
        yield
    finally:
        for (backend, name, _), value in zip(settings, before, strict=True):
            setattr(backend, name, value)
