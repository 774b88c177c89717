"""Zeros around the sample."""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import SumPool
from toolchain.ops import IMPORTERS, Call, Value, versions


@IMPORTERS.register("Pad")
@versions(2, 11, 13, 18, 19, 21, 23, 24, 25)
def import_pad(call: Call) -> Value:
    """Becomes padding of the convolution or average pool that follows.

    - `mode` is `constant`, with zeros.
    - One or two spatial axes are padded, by 0 or more; channels may be first or last.
    """
    value = call.value()
    mode = call.text("mode", "constant")
    call.require(
        mode == "constant",
        f"has mode={mode}; only constant is supported",
        "pad with zeros, in training too",
    )
    fill = _fill(call)
    call.require(
        fill == 0, f"adds {fill:g}; only 0 is supported", "pad with zeros, in training too"
    )
    sides = _sides(call, len(value.shape) + 1)
    call.require(
        min(map(min, sides)) >= 0,
        f"has negative pads in {sides}",
        "crop the input before the network",
    )
    axes = tuple(axis - 1 for axis, side in enumerate(sides) if any(side))
    if not axes:
        return call.pass_on(value)
    call.require(
        -1 not in axes and len(value.shape) in (2, 3) and len(axes) < len(value.shape),
        f"pads axes {[axis + 1 for axis in axes]} of {len(sides)}; spatial axes of "
        "(batch, C, H, W) or (batch, C, L) are supported, but not all with the channels",
        "pad the spatial axes only",
    )
    node, where = call.spatial(value, axes)
    padding = [(0, 0), (0, 0), (0, 0)]
    for axis in axes:
        wide = 2 * axis if len(value.shape) == 2 else axis
        padding[where[wide]] = sides[axis + 1]
    node = call.emit(
        SumPool, node, kernel=(1, 1), stride=(1, 1), padding=(padding[1], padding[2])
    )
    return call.view(node, where, call.output_shape)


def _fill(call: Call) -> float:
    if call.version < 11:
        return call.number("value", 0.0)
    return float(call.raw_constant(2).ravel()[0]) if call.has(2) else 0.0


def _sides(call: Call, rank: int) -> list[tuple[int, int]]:
    """Return what is added before and after each axis, the batch axis included."""
    if call.version < 11:
        pads = np.asarray(call.integers("pads") or ())
    else:
        pads = call.raw_constant(1).ravel()
    axes = call.axes(3, rank) or tuple(range(rank))
    sides = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        sides[axis] = (int(pads[position]), int(pads[position + len(axes)]))
    return sides
