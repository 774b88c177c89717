"""Cross-correlation and pooling windows on batches, for the reference and the simulators.

Arrays are indexed channel-first throughout. In memory `convolve` puts the channels last,
whatever it is given: a patch is then a few long runs, and the whole batch is one matrix
product. Its result is a view of such memory, so a chain of calls never transposes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]
Values: TypeAlias = npt.NDArray[Any]

_BLOCK_BYTES = 1 << 22
"""Patches are unrolled in blocks of about this size; larger ones leave the caches."""

_SPATIAL: Any = (2, 3)  # numpy's type stub knows a single axis only


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
    x: npt.NDArray[Any],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    fill: float = 0,
) -> npt.NDArray[Any]:
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
    x = _padded(x, padding, fill)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    patches = np.lib.stride_tricks.sliding_window_view(x, reach, axis=_SPATIAL)
    return patches[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _padded(x: npt.NDArray[Any], padding: Padding, fill: float) -> npt.NDArray[Any]:
    if not any(any(side) for side in padding):
        return x
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)


def largest_in_windows(
    x: npt.NDArray[Any],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    fill: float | None = None,
) -> npt.NDArray[Any]:
    """Return the largest of each patch of `windows`, ``(batch, C, out_height, out_width)``.

    Of truth values that is whether any is true. The largest of each column is found first,
    then of these, so large kernels cost little more than small ones. Padding is what nothing is
    smaller than, or ``fill``.
    """
    x = _padded(x, padding, _lowest(x.dtype) if fill is None else fill)
    for axis in (0, 1):
        x = _largest_along(x, axis + 2, kernel[axis], stride[axis])
    return x


def _lowest(kind: np.dtype[Any]) -> float:
    if kind.kind == "b":
        return False
    return -np.inf if kind.kind == "f" else int(np.iinfo(kind).min)


def _largest_along(
    x: npt.NDArray[Any], axis: int, kernel: int, stride: int
) -> npt.NDArray[Any]:
    """Return the largest of every ``kernel`` neighbours, much faster than numpy of windows."""
    x = x.swapaxes(0, axis)
    end = len(x) - kernel + 1
    largest = np.array(x[:end:stride])
    for place in range(1, kernel):
        np.maximum(largest, x[place : place + end : stride], out=largest)
    return largest.swapaxes(0, axis)


def convolve(
    x: npt.NDArray[np.generic],
    weight: npt.NDArray[np.generic],
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
    dtype: npt.DTypeLike = None,
) -> npt.NDArray[np.generic]:
    """Cross-correlate a batch with shared kernels; exact for integers that floats hold exactly.

    Args:
        x: ``(batch, C_in, H, W)``.
        weight: ``(C_out, C_in / groups, kernel_height, kernel_width)``.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
        dilation: Vertical and horizontal spacing of kernel entries, >= 1.
        groups: Number of independent groups of channels.
        dtype: What is computed in; `None` for the type that holds both.

    Returns:
        ``(batch, C_out, out_height, out_width)`` in that type, the channels last in memory.
    """
    kernel = (weight.shape[2], weight.shape[3])
    batch, _, high, wide = x.shape
    height, width = output_size((high, wide), kernel, stride, padding, dilation)
    out = np.empty((batch, height, width, len(weight)), dtype or np.result_type(x, weight))
    is_few = batch * height * width <= len(weight) // groups
    multiply = _multiplier(weight, groups, out.dtype, is_few=is_few)
    sample_bytes = groups * weight[0].size * height * width * out.itemsize
    block = max(1, _BLOCK_BYTES // max(1, sample_bytes))
    for start in range(0, batch, block):
        rows = slice(start, start + block)
        padded = _channels_last(x[rows], padding, out.dtype)
        multiply(windows(padded, kernel, stride, dilation=dilation), out[rows])
    return out.transpose(0, 3, 1, 2)


def _channels_last(x: Values, padding: Padding, kind: np.dtype[Any]) -> Values:
    """Return ``x`` padded with zeros, channels last in memory, still indexed channel-first."""
    (top, bottom), (left, right) = padding
    batch, channels, height, width = x.shape
    padded = np.zeros((batch, height + top + bottom, width + left + right, channels), kind)
    padded[:, top : top + height, left : left + width] = x.transpose(0, 2, 3, 1)
    return padded.transpose(0, 3, 1, 2)


def _multiplier(
    weight: Values, groups: int, kind: np.dtype[Any], *, is_few: bool
) -> Callable[[Values, Values], None]:
    """Return a function of patches that writes their products, ``(batch, h, w, C_out)``.

    Args:
        weight: Of all groups.
        groups: Number of them.
        kind: What is computed in.
        is_few: Whether patches are less than weights, and are put in the order of these; else
            the weights of a row are put in the order in which patches lie in memory.
    """
    if weight.shape[:2] == (groups, 1):
        return functools.partial(_depthwise, weight.astype(kind, copy=False))
    columns, channels = len(weight) // groups, weight.shape[1]
    weight_axes = (0, 1, 2, 3) if is_few else (0, 2, 3, 1)
    patch_axes = (0, 2, 3, 1, 4, 5) if is_few else (0, 2, 3, 4, 5, 1)
    rows_first = weight.transpose(weight_axes).reshape(groups, columns, -1)
    matrices = rows_first.astype(kind, copy=False).transpose(0, 2, 1)

    def multiply(patches: Values, out: Values) -> None:
        for group, matrix in enumerate(matrices):
            chosen = patches[:, group * channels : (group + 1) * channels]
            rows = chosen.transpose(patch_axes).reshape(-1, len(matrix))
            product = (rows @ matrix).reshape(*out.shape[:3], columns)
            out[..., group * columns : (group + 1) * columns] = product

    return multiply


def _depthwise(weight: Values, patches: Values, out: Values) -> None:
    """Write what kernels of one channel each produce; cheaper without a matrix product."""
    out.fill(0)
    for row, column in np.ndindex(*weight.shape[2:]):
        out += patches[..., row, column].transpose(0, 2, 3, 1) * weight[:, 0, row, column]
