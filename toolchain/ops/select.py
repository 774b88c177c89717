"""Operators that take parts of a value, or repeat it."""

from __future__ import annotations

import numpy as np

from toolchain.ir.node import IndexArray
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import taken

_BATCH = "select within the sample only"


@IMPORTERS.register("Slice")
@versions(1, 10, 11, 13)
def import_slice(call: Call) -> Value:
    """Chooses values: by the weights of the next layer, or by relay neurons.

    - `starts`, `ends`, `axes` and `steps` are constants; the batch axis is not sliced.
    """
    value = call.compared_value()
    rank = len(value.shape) + 1
    if call.version == 1:
        starts, ends = call.integers("starts") or (), call.integers("ends") or ()
        axes, steps = call.integers("axes"), None
    else:
        starts, ends = (tuple(map(int, call.raw_constant(i).ravel())) for i in (1, 2))
        axes = tuple(map(int, call.raw_constant(3).ravel())) if call.has(3) else None
        steps = tuple(map(int, call.raw_constant(4).ravel())) if call.has(4) else None
    parts = [slice(None)] * rank
    for i, axis in enumerate(axes or range(len(starts))):
        step = steps[i] if steps else 1
        end = None if step < 0 and ends[i] < -value.shape[axis % rank - 1] else ends[i]
        parts[axis % rank] = slice(starts[i], end, step)
    call.require(
        range(1)[parts[0]] == range(1) and (parts[0].step or 1) > 0,
        "slices the batch axis",
        _BATCH,
    )
    return taken(call, value, _indices(value)[tuple(parts[1:])])


@IMPORTERS.register("Split")
@versions(2, 11, 13, 18)
def import_split(call: Call) -> tuple[Value, ...]:
    """Chooses values: by the weights of the next layer, or by relay neurons.

    - The sizes of the parts are constants; the batch axis is not split.
    """
    value = call.compared_value()
    axis = call.integer("axis", 0) % (len(value.shape) + 1)
    call.require(axis != 0, "splits the batch axis", _BATCH)
    call.integers("split")  # the inferred output shapes say it, as they do num_outputs
    call.integer("num_outputs", 0)
    ends = np.cumsum([shape[axis - 1] for shape in call.output_shapes])
    parts = np.split(_indices(value), ends[:-1], axis=axis - 1)
    return tuple(
        taken(call, value, part, suffix=f"part{number}" if number else "")
        for number, part in enumerate(parts)
    )


@IMPORTERS.register("DepthToSpace")
@versions(1, 11, 13, 28)
def import_depth_to_space(call: Call) -> Value:
    """Moves channels into the plane: relay neurons.

    - `mode` is `DCR` or `CRD`.
    """
    value = call.value()
    block, mode = call.integer("blocksize", 1), call.text("mode", "DCR")
    channels, height, width = value.shape
    index = _indices(value)
    if mode == "DCR":
        index = index.reshape(block, block, channels // block**2, height, width)
        index = index.transpose(2, 3, 0, 4, 1)
    else:
        index = index.reshape(channels // block**2, block, block, height, width)
        index = index.transpose(0, 3, 1, 4, 2)
    return taken(call, value, index.reshape(call.output_shape))


@IMPORTERS.register("SpaceToDepth")
@versions(1, 13, 28)
def import_space_to_depth(call: Call) -> Value:
    """Moves the plane into channels: relay neurons, or the pixels of the sample.

    - `mode` is `DCR` or `CRD`.
    """
    value = call.value()
    block, mode = call.integer("blocksize", 1), call.text("mode", "DCR")
    channels, height, width = value.shape
    index = _indices(value).reshape(channels, height // block, block, width // block, block)
    index = index.transpose((2, 4, 0, 1, 3) if mode == "DCR" else (0, 2, 4, 1, 3))
    return taken(call, value, index.reshape(call.output_shape))


@IMPORTERS.register("Expand")
@versions(8, 13)
def import_expand(call: Call) -> Value:
    """Repeats values: relay neurons, or the pixels of the sample.

    - `shape` is a constant and keeps the batch axis and the number of axes.
    """
    value, shape = call.compared_value(), call.output_shape
    call.require(
        len(shape) == len(value.shape),
        f"makes {len(shape) + 1} axes of {len(value.shape) + 1}; the number must stay",
        _BATCH,
    )
    if value.shape == shape:
        return call.pass_on(value)
    return taken(call, value, np.broadcast_to(_indices(value), shape))


@IMPORTERS.register("Tile")
@versions(6, 13)
def import_tile(call: Call) -> Value:
    """Repeats values: relay neurons, or the pixels of the sample.

    - `repeats` is a constant; the batch axis is not repeated.
    """
    value = call.compared_value()
    repeats = [new // old for new, old in zip(call.output_shape, value.shape, strict=True)]
    if call.output_shape == value.shape:
        return call.pass_on(value)
    return taken(call, value, np.tile(_indices(value), repeats))


def _indices(value: Value) -> IndexArray:
    return np.arange(value.size).reshape(value.shape)
