"""Convolution."""

from __future__ import annotations

from toolchain.ir.ann import Conv
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import as_planes
from toolchain.ops._windows import read_bias, read_windows


@IMPORTERS.register("Conv")
@versions(1, 11, 22)
def import_conv(call: Call) -> Value:
    """Becomes a convolution with its bias; zeros that a `Pad` before it adds become its own.

    - 1 or 2 spatial axes; `(C, L)` is taken as `(C, 1, L)`.
    - Any strides, dilations and groups, any padding, different on each side or by `auto_pad`.
    - Weights and bias are constants.
    """
    value = call.value()
    weight = call.constant(1)
    windows = read_windows(call, value.shape, weight.shape[2:])
    source, pad = call.builder.take_padding(call.plain(value, as_planes(value.shape)))
    padding = windows.padding
    if pad is not None:
        (top, bottom), (left, right) = (
            (a[0] + b[0], a[1] + b[1]) for a, b in zip(padding, pad.padding, strict=True)
        )
        padding = ((top, bottom), (left, right))
    node = call.emit(
        Conv,
        source,
        absorbed=pad.origin if pad is not None else (),
        weight=weight.reshape(*weight.shape[:2], *windows.kernel),
        stride=windows.stride,
        padding=padding,
        dilation=windows.dilation,
        groups=call.integer("group", 1),
        **read_bias(call, len(weight)),
    )
    return Value(node, call.output_shape)
