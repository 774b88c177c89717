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
        parts[0] in (slice(None), slice(0, None, 1)) or range(1)[parts[0]] == range(1),
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


@IMPORTERS.register("Resize")
@versions(10, 11, 13, 18, 19)
def import_resize(call: Call) -> Value:
    """Repeats values: relay neurons, or the pixels of the sample.

    - `mode` is `nearest`, by whole factors, so that every value is repeated as often.
    """
    call.require(
        call.text("mode", "nearest") == "nearest",
        f"has mode={call.text('mode', 'nearest')}; only nearest is supported",
        "train with nearest, or with a transposed convolution",
    )
    for key in ("coordinate_transformation_mode", "nearest_mode", "keep_aspect_ratio_policy"):
        call.text(key, "")  # whole factors give the same with all but align_corners
    for key in ("cubic_coeff_a", "extrapolation_value"):
        call.number(key, 0.0)
    for key in ("exclude_outside", "antialias"):
        call.integer(key, 0)
    call.integers("axes")  # the inferred output shape says it
    mode = call.text("coordinate_transformation_mode", "half_pixel")
    call.require(
        mode in ("half_pixel", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric"),
        f"has coordinate_transformation_mode={mode}; half_pixel and asymmetric are supported",
        "export with scale factors instead of sizes",
    )
    nearest = call.text("nearest_mode", "round_prefer_floor")
    repeating = ("floor",) if mode == "asymmetric" else _ROUNDED
    call.require(
        nearest in repeating or call.version == 10,
        f"has nearest_mode={nearest} and coordinate_transformation_mode={mode}, which does not "
        f"repeat every value as often; with it, {' and '.join(repeating)} do",
        "export the model again with a newer exporter",
    )
    return _enlarged(call)


@IMPORTERS.register("Upsample")
@versions(7, 9)
def import_upsample(call: Call) -> Value:
    """Repeats values: relay neurons, or the pixels of the sample.

    - `mode` is `nearest`, by whole factors.
    """
    call.require(
        call.text("mode", "nearest") == "nearest",
        f"has mode={call.text('mode', 'nearest')}; only nearest is supported",
        "train with nearest, or with a transposed convolution",
    )
    call.numbers("scales")  # the inferred output shape says it
    return _enlarged(call)


_ROUNDED = ("round_prefer_floor", "round_prefer_ceil")


def _enlarged(call: Call) -> Value:
    value = call.compared_value()
    index = _indices(value)
    call.require(
        len(call.output_shape) == index.ndim,
        f"makes {call.output_shape} of {value.shape}",
    )
    for axis, (size, wanted) in enumerate(zip(value.shape, call.output_shape, strict=True)):
        call.require(
            wanted % size == 0,
            f"makes {call.output_shape} of {value.shape}; whole factors are supported",
            "enlarge by a whole factor",
        )
        index = np.repeat(index, wanted // size, axis=axis)
    return call.pass_on(value) if index.shape == value.shape else taken(call, value, index)


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
