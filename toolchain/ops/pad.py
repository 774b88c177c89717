"""Zeros, or values again, around the sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np

from toolchain.ir.ann import SumPool
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import taken

_Mode: TypeAlias = Literal["constant", "edge", "reflect", "wrap"]
_MODES: Mapping[str, _Mode] = {mode: mode for mode in get_args(_Mode)}


@IMPORTERS.register("Pad")
@versions(2, 11, 13, 18, 19, 21, 23, 24, 25)
def import_pad(call: Call) -> Value:
    """Becomes padding of the convolution or average pool that follows, or repeats values.

    - `mode` is `constant`, with zeros; or `edge`, `reflect`, `wrap`, which relay neurons do.
    - With zeros: one or two spatial axes are padded; channels may be first or last.
    - Negative numbers cut off, with zeros on the other sides.
    """
    value = call.value()
    mode = call.text("mode", "constant")
    call.require(
        mode in _MODES,
        f"has mode={mode}; {', '.join(_MODES)} are supported",
        "pad with zeros, in training too",
    )
    fill = _fill(call)
    call.require(
        fill == 0 or mode != "constant",
        f"adds {fill:g}; only 0 is supported",
        "pad with zeros, in training too",
    )
    sides = _sides(call, len(value.shape) + 1)
    if mode != "constant" or min(map(min, sides)) < 0:
        return _repeated(call, value, sides, mode)
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


def _repeated(call: Call, value: Value, sides: list[tuple[int, int]], mode: str) -> Value:
    """Return the value with elements repeated around it or cut off."""
    call.require(sides[0] == (0, 0), "pads the batch axis", "pad within the sample only")
    kept = min(map(min, sides)) >= 0
    call.require(
        kept or mode == "constant",
        f"has negative pads in {sides} and mode={mode}; only constant is supported with them",
        "crop with a Slice instead",
    )
    reach = 0 if mode == "reflect" else 1
    call.require(
        mode in ("constant", "edge")
        or all(max(side) < n + reach for side, n in zip(sides[1:], value.shape, strict=True)),
        f"has pads {sides} that reach over {value.shape} with mode={mode}",
        "use less padding",
    )
    index = np.arange(value.size).reshape(value.shape)
    for axis, (before, after) in enumerate(sides[1:]):
        index = index.take(range(max(-before, 0), index.shape[axis] - max(-after, 0)), axis)
    more = [(max(before, 0), max(after, 0)) for before, after in sides[1:]]
    if mode == "constant":
        return taken(call, value, np.pad(index, more, constant_values=-1))
    return taken(call, value, np.pad(index, more, mode=_MODES[mode]))


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
