"""Layers that only scale channels, which a runtime may join to others as factors."""

from __future__ import annotations

from toolchain.bounds import Layer
from toolchain.ir.ann import Conv


def joins_one_by_one(layer: Layer) -> bool:
    """Tell whether a layer scales channels and does nothing else."""
    return isinstance(layer, Conv) and layer.is_skip and layer.weight.shape[1] == 1
