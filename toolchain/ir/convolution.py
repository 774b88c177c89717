"""Cross-correlation and pooling windows on batches, for the reference and the simulators."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]
Array: TypeAlias = npt.NDArray[np.generic]


def output_size(
    size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Pair:
    """Return height and width of what a kernel slid over ``size`` produces (rounded down)."""
    height, width = (
        (size[axis] + sum(padding[axis]) - dilation[axis] * (kernel[axis] - 1) - 1)
        // stride[axis]
        + 1
        for axis in (0, 1)
    )
    return height, width


def windows(
    x: npt.NDArray[np.generic],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    fill: float = 0,
) -> npt.NDArray[np.generic]:
    """Return the patches a kernel sees, as a read-only view.

    Args:
        x: ``(batch, C, H, W)``.
        kernel: Height and width.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
        dilation: Vertical and horizontal spacing of kernel entries, >= 1.
        fill: Value of the padding.

    Returns:
        ``(batch, C, out_height, out_width, kernel_height, kernel_width)``.
    """
    if any(any(side) for side in padding):
        x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    patches = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return patches[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def convolve(
    x: npt.NDArray[np.generic],
    weight: npt.NDArray[np.generic],
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> npt.NDArray[np.generic]:
    """Cross-correlate a batch with shared kernels; exact for integers that floats hold exactly.

    Args:
        x: ``(batch, C_in, H, W)``.
        weight: ``(C_out, C_in / groups, kernel_height, kernel_width)``, of the type of ``x``.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
        dilation: Vertical and horizontal spacing of kernel entries, >= 1.
        groups: Number of independent groups of channels.

    Returns:
        ``(batch, C_out, out_height, out_width)``.
    """
    kernel = (weight.shape[2], weight.shape[3])
    patches = windows(x, kernel, stride, padding, dilation)
    batch, _, height, width = patches.shape[:4]
    per_group_in, per_group_out = weight.shape[1], weight.shape[0] // groups
    out = np.empty((batch, weight.shape[0], height * width), np.result_type(x, weight))
    for group in range(groups):
        chosen = patches[:, group * per_group_in : (group + 1) * per_group_in]
        columns = chosen.transpose(0, 1, 4, 5, 2, 3).reshape(batch, -1, height * width)
        rows = slice(group * per_group_out, (group + 1) * per_group_out)
        np.matmul(weight[rows].reshape(per_group_out, -1), columns, out=out[:, rows])
    return out.reshape(batch, weight.shape[0], height, width)
