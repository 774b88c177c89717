"""Pools that average: a sum over windows, then a division."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Affine, Padding, Pair, SumPool
from toolchain.ir.convolution import windows as patches
from toolchain.ir.node import Shape
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import as_planes
from toolchain.ops._layout import compressed
from toolchain.ops._switch import switch
from toolchain.ops._windows import Windows, read_pool_windows, read_reduction


@IMPORTERS.register("AveragePool")
@versions(7, 10, 11, 19, 22)
def import_average_pool(call: Call) -> Value:
    """Becomes a sum over windows and a scale, per position where windows reach over the edge.

    - 1 or 2 spatial axes; `(C, L)` is taken as `(C, 1, L)`.
    - Any strides, padding smaller than the window, `auto_pad`, `ceil_mode`,
      `count_include_pad`.
    - `dilations` are 1.
    """
    value = call.value()
    windows = read_pool_windows(call, value.shape)
    count_padding = switch(call, "count_include_pad", default=False)
    shape = as_planes(value.shape)
    source, pad = call.builder.take_padding(call.plain(value, shape))
    inner = pad.padding if pad is not None else ((0, 0), (0, 0))
    (top, bottom), (left, right) = (
        (a[0] + b[0], a[1] + b[1]) for a, b in zip(windows.whole_padding, inner, strict=True)
    )
    node = _average(
        call,
        source,
        windows.kernel,
        windows.stride,
        _counts(windows, shape, count_padding=count_padding),
        padding=((top, bottom), (left, right)),
        absorbed=pad.origin if pad is not None else (),
    )
    return Value(node, call.output_shape)


@IMPORTERS.register("GlobalAveragePool")
@versions(1, 22)
def import_global_average_pool(call: Call) -> Value:
    """Becomes a sum over one window and a scale.

    - 1 or 2 spatial axes.
    """
    value = call.value()
    shape = as_planes(value.shape)
    call.require(len(shape) == 3, f"reads {len(shape) - 1} spatial axes; 1 and 2 are supported")
    kernel = (shape[1], shape[2])
    node = _average(
        call, call.plain(value, shape), kernel, (1, 1), np.array(kernel[0] * kernel[1])
    )
    return Value(node, call.output_shape)


@IMPORTERS.register("ReduceMean")
@versions(1, 11, 13, 18)
def import_reduce_mean(call: Call) -> Value:
    """Becomes a sum over windows that cover the reduced axes, and a scale.

    - Two or three axes besides the batch axis, of which one or two are reduced; channels may be
      first or last.
    """
    value = call.value()
    node, kernel, where = read_reduction(call, value)
    mean = _average(call, node, kernel, (1, 1), np.array(kernel[0] * kernel[1]))
    return call.view(mean, where, call.output_shape)


@IMPORTERS.register("ReduceSum")
@versions(1, 11, 13)
def import_reduce_sum(call: Call) -> Value:
    """Becomes a sum over windows that cover the reduced axes.

    - Axes as for `ReduceMean`.
    """
    node, kernel, where = read_reduction(call, call.value())
    total = call.emit(SumPool, node, kernel=kernel, stride=(1, 1))
    return call.view(total, where, call.output_shape)


def _average(
    call: Call,
    source: str,
    kernel: Pair,
    stride: Pair,
    counts: npt.NDArray[np.generic],
    *,
    padding: Padding = ((0, 0), (0, 0)),
    absorbed: tuple[str, ...] = (),
) -> str:
    """Return the name of a node with the sums over windows, divided by ``counts``."""
    total = call.emit(
        SumPool,
        source,
        suffix="sum",
        absorbed=absorbed,
        kernel=kernel,
        stride=stride,
        padding=padding,
    )
    return call.emit(Affine, total, scale=1 / counts.astype(np.float64))


def _counts(windows: Windows, shape: Shape, *, count_padding: bool) -> npt.NDArray[np.generic]:
    """Return how many elements each window averages, as a scalar or ``(1, H, W)``.

    The overhang of ``ceil_mode`` never counts.
    """
    inside = np.ones((1, 1, *shape[1:]))
    inside = np.pad(
        inside, ((0, 0), (0, 0), *windows.padding), constant_values=float(count_padding)
    )
    overhang: Padding = ((0, windows.overhang[0]), (0, windows.overhang[1]))
    seen = patches(inside, windows.kernel, windows.stride, overhang)
    return compressed(seen.sum(axis=(4, 5))[0])
