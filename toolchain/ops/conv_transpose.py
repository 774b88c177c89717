r"""Transposed convolution.

Every value is multiplied with the whole kernel and added to the result at :math:`s` times its
position. That is a convolution with the kernel turned around over the values with :math:`s - 1`
zeros between each two of them,

.. math::
    y[o] = \sum_k W[k] \, x[i] \;\text{where}\; o + p = s i + d k
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.ir.ann import Conv, Pair
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import taken
from toolchain.ops._call import as_planes
from toolchain.ops._windows import read_bias


@IMPORTERS.register("ConvTranspose")
@versions(1, 11, 22)
def import_conv_transpose(call: Call) -> Value:
    """Becomes relay neurons with silent ones between them, and a convolution.

    - 1 or 2 spatial axes; any strides, dilations, groups, padding and `output_padding`.
    - Weights and bias are constants.
    """
    value = call.value()
    axes = len(value.shape) - 1
    call.require(axes in (1, 2), f"reads {axes} spatial axes; 1 and 2 are supported")
    weight = call.constant(1)
    call.require(
        weight.ndim == axes + 2,
        f"has weights of shape {weight.shape} for {axes} spatial axes",
    )
    weight = weight.reshape(*weight.shape[:2], *_pair(weight.shape[2:]))
    stride = _pair(call.integers("strides") or (1,) * axes)
    dilation = _pair(call.integers("dilations") or (1,) * axes)
    groups = call.integer("group", 1)
    planes, wanted = as_planes(value.shape), as_planes(call.output_shape)
    spaced = _spaced(call, value, stride) if max(stride) > 1 else value
    source = call.plain(spaced, as_planes(spaced.shape))
    padding = []
    for axis in (0, 1):
        reach = dilation[axis] * (weight.shape[2 + axis] - 1)
        length = stride[axis] * (planes[1 + axis] - 1) + 1
        before = reach - _removed(call, axis - 2 + axes, axes, wanted[1 + axis], length + reach)
        padding.append((before, wanted[1 + axis] + reach - length - before))
    call.require(
        min(map(min, padding)) >= 0,
        f"has pads that remove more than the kernel adds: {padding}",
        "crop the output with a Slice instead",
    )
    node = call.emit(
        Conv,
        source,
        weight=_turned(weight, groups),
        padding=(padding[0], padding[1]),
        dilation=dilation,
        groups=groups,
        **read_bias(call, groups * weight.shape[1]),
    )
    return Value(node, call.output_shape)


def _spaced(call: Call, value: Value, stride: Pair) -> Value:
    """Return the value with zeros between its elements."""
    channels, height, width = as_planes(value.shape)
    size = (stride[0] * (height - 1) + 1, stride[1] * (width - 1) + 1)
    index = np.full((channels, *size), -1)
    index[:, :: stride[0], :: stride[1]] = np.arange(value.size).reshape(
        channels, height, width
    )
    wide = value.reshaped(as_planes(value.shape))
    return taken(call, wide, index, suffix="zeros")


def _removed(call: Call, axis: int, axes: int, wanted: int, whole: int) -> int:
    """Return how many elements are cut off before the first along a spatial axis."""
    if axis < 0:
        return 0
    call.integers("kernel_shape")
    extra = (call.integers("output_padding") or (0,) * axes)[axis]
    mode, has_shape = call.text("auto_pad", "NOTSET"), bool(call.integers("output_shape"))
    if has_shape or mode in ("SAME_UPPER", "SAME_LOWER"):
        total = max(whole + extra - wanted, 0)
        return total // 2 if mode == "SAME_UPPER" else total - total // 2
    return (call.integers("pads") or (0,) * (2 * axes))[axis]


def _turned(weight: np.ndarray[Any, Any], groups: int) -> np.ndarray[Any, Any]:
    """Return ``(C_out, C_in / groups, ...)`` of ``(C_in, C_out / groups, ...)``, turned."""
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    return grouped.reshape(groups * outputs, inputs // groups, *kernel)[:, :, ::-1, ::-1].copy()


def _pair(sizes: tuple[int, ...]) -> Pair:
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])
