"""Pools that keep the largest value."""

from __future__ import annotations

from toolchain.ir.ann import MaxPool, Relu, SumPool
from toolchain.ir.snn import LmHt
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import as_planes
from toolchain.ops._windows import Windows, read_pool_windows, read_reduction


@IMPORTERS.register("MaxPool")
@versions(1, 8, 10, 11, 12, 22)
def import_max_pool(call: Call) -> Value:
    """Becomes a max pool.

    - 1 or 2 spatial axes; `(C, L)` is taken as `(C, 1, L)`.
    - Any strides, padding smaller than the window, `auto_pad`, `ceil_mode`.
    - `dilations` are 1; the output `Indices` is not used.
    - Zeros that a `Pad` before it adds become its own padding after a `Relu` or trained
      neurons.
    """
    value = call.compared_value()
    windows = read_pool_windows(call, value.shape)
    call.integer("storage_order", 0)  # the order of the unused Indices
    source = call.plain(value, as_planes(value.shape))
    source, pad = _take_padding(call, source, windows)
    node = call.emit(
        MaxPool,
        source,
        absorbed=pad.origin if pad is not None else (),
        kernel=windows.kernel,
        stride=windows.stride,
        padding=windows.whole_padding if pad is None else pad.padding,
    )
    return Value(node, call.output_shape)


def _take_padding(call: Call, source: str, windows: Windows) -> tuple[str, SumPool | None]:
    """Return where to read instead of from zeros added around values that are never negative.

    Zeros and padding are the same then, if there is another value in each window.
    """
    pad = call.builder[source]
    if (
        isinstance(pad, SumPool)
        and isinstance(call.builder[pad.inputs[0]], (Relu, LmHt))
        and all(max(p) < k for p, k in zip(pad.padding, windows.kernel, strict=True))
        and not any(map(any, windows.whole_padding))
    ):
        return call.builder.take_padding(source)
    return source, None


@IMPORTERS.register("GlobalMaxPool")
@versions(1, 22)
def import_global_max_pool(call: Call) -> Value:
    """Becomes a max pool with one window.

    - 1 or 2 spatial axes.
    """
    value = call.compared_value()
    shape = as_planes(value.shape)
    call.require(len(shape) == 3, f"reads {len(shape) - 1} spatial axes; 1 and 2 are supported")
    node = call.emit(
        MaxPool, call.plain(value, shape), kernel=(shape[1], shape[2]), stride=(1, 1)
    )
    return Value(node, call.output_shape)


@IMPORTERS.register("ReduceMax")
@versions(1, 11, 12, 13, 18, 20)
def import_reduce_max(call: Call) -> Value:
    """Becomes a max pool with one window.

    - Axes as for `ReduceMean`.
    """
    node, kernel, where = read_reduction(call, call.compared_value())
    largest = call.emit(MaxPool, node, kernel=kernel, stride=(1, 1))
    return call.view(largest, where, call.output_shape)
