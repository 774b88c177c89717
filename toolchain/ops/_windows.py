"""Where the windows of a convolution or pool lie: strides, padding and rounding.

ONNX says it in three ways, explicit ``pads``, ``auto_pad`` and ``ceil_mode``; here it becomes
one, elements to add on each side. Rounding the number of windows up equals adding elements at
the end, of which a pool must know that they are not part of its input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from toolchain.ir.ann import Padding, Pair
from toolchain.ir.convolution import output_size
from toolchain.ir.node import Shape
from toolchain.ops._call import Call, as_planes
from toolchain.ops._layout import Value
from toolchain.ops._switch import switch

_LARGEST_PLANE = 2**27
_AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Windows:
    """The windows of one node; all pairs are vertical, horizontal.

    Attributes:
        kernel: Size of a window.
        stride: Step from window to window.
        dilation: Spacing of a window's elements.
        padding: Elements added before and after, by the model.
        overhang: Elements added after those, because the number of windows is rounded up.
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Padding
    overhang: Pair = (0, 0)

    @property
    def whole_padding(self) -> Padding:
        """Padding with the overhang."""
        (top, bottom), (left, right) = self.padding
        return ((top, bottom + self.overhang[0]), (left, right + self.overhang[1]))


def read_bias(call: Call, channels: int) -> dict[str, Any]:
    """Return the bias of a convolution by its field's name; nothing if there is none.

    Args:
        call: Of the node.
        channels: That it makes.
    """
    if not call.has(2):
        return {}
    bias = call.constant(2)
    call.require(
        bias.shape == (channels,),
        f"has a bias of shape {bias.shape}; one number for each of {channels} channels is "
        "needed",
    )
    return {"bias": bias.reshape(-1, 1, 1)}


def read_windows(call: Call, shape: Shape, kernel: tuple[int, ...] | None = None) -> Windows:
    """Return the windows that the attributes of ``call`` describe.

    Args:
        call: Of a convolution or pool.
        shape: ``(C, H, W)`` or ``(C, L)`` of what it reads.
        kernel: Of a convolution, from the shape of its weights.
    """
    axes = len(shape) - 1
    call.require(
        axes in (1, 2),
        f"reads {axes} spatial axes; 1 and 2 are supported",
        "volumes have no counterpart on the chip: fold one axis into the channels",
    )
    given = call.integers("kernel_shape")
    kernel = given if kernel is None else kernel
    call.require(
        kernel is not None and len(kernel) == axes and given in (None, kernel),
        f"has kernel_shape={given}, which does not fit its weights or input",
    )
    strides = call.integers("strides") or (1,) * axes
    dilations = call.integers("dilations") or (1,) * axes
    sides = _sides(call, shape[1:], _reach(kernel or (), dilations), strides)
    windows = Windows(
        kernel=_pair(kernel or (), 1),
        stride=_pair(strides, 1),
        dilation=_pair(dilations, 1),
        padding=sides if len(sides) == 2 else ((0, 0), sides[0]),
    )
    if switch(call, "ceil_mode", default=False):
        windows = _rounded_up(windows, as_planes(shape))
    _require_room(call, windows, as_planes(shape))
    return windows


def _require_room(call: Call, windows: Windows, shape: Shape) -> None:
    padded = [size + sum(p) for size, p in zip(shape[1:], windows.whole_padding, strict=True)]
    call.require(
        math.prod(padded) <= _LARGEST_PLANE,
        f"pads its input to {tuple(padded)}; {_LARGEST_PLANE} elements are supported",
        "use less padding",
    )
    for axis in (0, 1):
        reach = windows.dilation[axis] * (windows.kernel[axis] - 1) + 1
        call.require(
            reach <= padded[axis],
            f"has windows that reach over {reach} elements of an axis with {padded[axis]}",
            "use a larger input or a smaller kernel",
        )


def read_pool_windows(call: Call, shape: Shape) -> Windows:
    """Return the windows of a pool, none of which may lie in padding alone.

    Args:
        call: Of a pool.
        shape: ``(C, H, W)`` or ``(C, L)`` of what it reads.
    """
    windows = read_windows(call, shape)
    call.require(
        windows.dilation == (1, 1),
        f"has dilations={list(call.integers('dilations') or ())}; only 1 is supported",
        "use a pool with a larger window",
    )
    call.require(
        all(max(p) < k for p, k in zip(windows.padding, windows.kernel, strict=True)),
        f"has padding {windows.padding} as large as its window {windows.kernel}",
        "use less padding: windows of padding alone carry nothing",
    )
    _, height, width = as_planes(shape)
    found = output_size((height, width), windows.kernel, windows.stride, windows.whole_padding)
    wanted = as_planes(call.output_shape)[1:]
    call.require(
        found == wanted,
        f"has {found} windows that begin inside, and ONNX infers {wanted} of them; runtimes "
        "disagree about those outside",
        "use ceil_mode=0, with pads where needed",
    )
    return windows


def read_reduction(call: Call, value: Value) -> tuple[str, Pair, tuple[int, ...]]:
    """Return the one window of each channel that a reduction over spatial axes is.

    Args:
        call: Of the reduction.
        value: What it reduces.

    Returns:
        Name of a node with output ``(C, H, W)``; the window; and the node's axis that each axis
        of the value is, as `Call.spatial` has it.
    """
    rank = len(value.shape) + 1
    call.integer("noop_with_empty_axes", 0)
    axes = call.axes(1, rank) or tuple(range(rank))
    switch(call, "keepdims", default=True)  # the inferred output shape says it
    call.require(
        0 not in axes and rank in (3, 4) and len(set(axes)) < rank - 1,
        f"reduces axes {sorted(axes)} of {rank}; spatial axes of (batch, C, H, W) or "
        "(batch, C, L) are supported, but not all with the channels",
        "reduce the spatial axes only",
    )
    reduced = tuple(axis - 1 for axis in axes)
    node, where = call.spatial(value, reduced)
    covered = {where[2 * axis if rank == 3 else axis] for axis in reduced}
    shape = call.builder.shape(node)
    return node, (shape[1] if 1 in covered else 1, shape[2] if 2 in covered else 1), where


def _sides(
    call: Call, size: Shape, reach: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[Pair, ...]:
    """Return the padding before and after, per spatial axis of the model."""
    mode = call.text("auto_pad", "NOTSET")
    pads = call.integers("pads")
    call.require(
        mode in _AUTO_PADS, f"has auto_pad={mode}; {', '.join(_AUTO_PADS)} are supported"
    )
    if mode == "NOTSET":
        pads = pads or (0,) * (2 * len(size))
        call.require(
            min(pads) >= 0,
            f"has pads={list(pads)}; they must not be negative",
            "crop the input before the network",
        )
        return tuple(zip(pads[: len(size)], pads[len(size) :], strict=True))
    call.require(
        not any(pads or ()), f"has both auto_pad={mode} and pads={list(pads or ())}; give one"
    )
    if mode == "VALID":
        return ((0, 0),) * len(size)
    return tuple(
        _same(*axis, upper=mode == "SAME_UPPER")
        for axis in zip(size, reach, strides, strict=True)
    )


def _same(size: int, reach: int, stride: int, *, upper: bool) -> Pair:
    """Return the padding with which ``ceil(size / stride)`` windows fit."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def _rounded_up(windows: Windows, shape: Shape) -> Windows:
    """Return the windows with those that begin inside but end outside of the padded input."""
    overhang = [0, 0]
    for axis in (0, 1):
        before, after = windows.padding[axis]
        reach = windows.dilation[axis] * (windows.kernel[axis] - 1) + 1
        room = shape[1 + axis] + before + after - reach
        last = -(-room // windows.stride[axis]) * windows.stride[axis]
        if last >= shape[1 + axis] + before:
            last -= windows.stride[axis]
        overhang[axis] = max(last - room, 0)
    return Windows(
        kernel=windows.kernel,
        stride=windows.stride,
        dilation=windows.dilation,
        padding=windows.padding,
        overhang=(overhang[0], overhang[1]),
    )


def _reach(kernel: tuple[int, ...], dilations: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))


def _pair(values: tuple[int, ...], missing: int) -> Pair:
    """Return two values, with ``missing`` for the vertical axis that 1-D models lack."""
    return (values[0], values[1]) if len(values) == 2 else (missing, values[0])
