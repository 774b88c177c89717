"""The one place of this package that imports torch, for a clear message where it is absent."""

from __future__ import annotations

from toolchain.errors import MissingDependencyError

_HINT = "install it with: pip install 'torch>=2.9'"

try:
    import torch
    from torch.nn import functional
except ImportError as error:
    raise MissingDependencyError(
        "the gpu engine needs torch, which is not installed", hint=_HINT
    ) from error

if not hasattr(torch.backends.cudnn, "conv"):
    raise MissingDependencyError(
        f"the gpu engine needs torch 2.9 or newer, and {torch.__version__} is installed",
        hint=_HINT,
    )

__all__ = ["functional", "torch"]
