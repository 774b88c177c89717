"""Layers as one matrix product: a convolution's patches become the rows of a matrix."""

from __future__ import annotations

from typing import Any

from targets.torch_counts._torch import functional, torch
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv


def weight_columns(layer: Layer) -> Any:
    """Return the weights ``(terms, out)`` in the order of `patch_rows`, int64.

    In memory the terms of an output are neighbours, as tensor cores read them.
    """
    weight = torch.from_numpy(layer.weight.astype("int64"))
    if isinstance(layer, Conv):
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(len(weight), -1).T


def patch_rows(layer: Layer, x: Any, zero: int = 0) -> Any:
    """Return what each output sums, ``(batch * positions, terms)``.

    Args:
        layer: With a single group if it is a convolution.
        x: ``(batch, C, H, W)`` or ``(batch, N)``.
        zero: What stands for 0 in ``x``, for the padding.
    """
    if not isinstance(layer, Conv):
        return x
    (top, bottom), (left, right) = layer.padding
    x = x.permute(0, 2, 3, 1).contiguous()
    if top or bottom or left or right:
        x = functional.pad(x, (0, 0, left, right, top, bottom), value=zero)
    for axis in (1, 2):
        reach = layer.dilation[axis - 1] * (layer.kernel[axis - 1] - 1) + 1
        x = x.unfold(axis, reach, layer.stride[axis - 1])
    x = x[..., :: layer.dilation[0], :: layer.dilation[1]]
    return x.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 2).contiguous()


def from_rows(rows: Any, shape: tuple[int, ...]) -> Any:
    """Return the products ``(batch * positions, out)`` as ``(batch, *shape)``."""
    if len(shape) == 1:
        return rows
    channels, height, width = shape
    return rows.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
