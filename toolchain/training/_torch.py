"""The one place that imports torch, for a clear message where it is absent."""

from __future__ import annotations

from toolchain.errors import MissingDependencyError

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise MissingDependencyError(
        "training needs torch, which is not installed",
        hint="install it with: pip install 'snn-compile[train]'",
    ) from error

__all__ = ["functional", "nn", "torch"]
