"""Pools that keep the largest value."""

from __future__ import annotations

from toolchain.ir.ann import MaxPool
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import as_planes
from toolchain.ops._windows import read_pool_windows


@IMPORTERS.register("MaxPool")
@versions(1, 8, 10, 11, 12, 22)
def import_max_pool(call: Call) -> Value:
    """Becomes a max pool.

    - 1 or 2 spatial axes; `(C, L)` is taken as `(C, 1, L)`.
    - Any strides, padding smaller than the window, `auto_pad`, `ceil_mode`.
    - `dilations` are 1; the output `Indices` is not used.
    """
    value = call.value()
    windows = read_pool_windows(call, value.shape)
    call.integer("storage_order", 0)  # the order of the unused Indices
    node = call.emit(
        MaxPool,
        call.plain(value, as_planes(value.shape)),
        kernel=windows.kernel,
        stride=windows.stride,
        padding=windows.whole_padding,
    )
    return Value(node, call.output_shape)


@IMPORTERS.register("GlobalMaxPool")
@versions(1, 22)
def import_global_max_pool(call: Call) -> Value:
    """Becomes a max pool with one window.

    - 1 or 2 spatial axes.
    """
    value = call.value()
    shape = as_planes(value.shape)
    call.require(len(shape) == 3, f"reads {len(shape) - 1} spatial axes; 1 and 2 are supported")
    node = call.emit(
        MaxPool, call.plain(value, shape), kernel=(shape[1], shape[2]), stride=(1, 1)
    )
    return Value(node, call.output_shape)
