"""Enlarging and shrinking planes: choices of values, or sums of neighbours.

Weights between neighbours become, by what takes fewer neurons, a kernel over values with zeros
between them (`Sampling`), or weights from every position to every other, the same for all
channels: a layer of one tap whose channels are the positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from toolchain.ir.ann import Conv, Rearrange
from toolchain.ir.node import Array, IndexArray
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import taken
from toolchain.ops._sampling import COORDINATES, Curve, Sampling, cubic, linear, sampling

_GROWTH_MAX = 4
"""Values that a kernel moves over for each one made; beyond, zeros cost too many relays."""

_WEIGHTS_MAX = 2**20
"""Weights from all positions to all others; beyond, the axes are resized one by one."""

_AXIS_WEIGHTS_MAX = 2**22
"""Weights from all positions of one axis to all others."""

_DENOMINATOR_MAX = 1000
"""Of the ratios that factors stand for: a third is not what float32 makes of it."""

_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_MODES = ("nearest", "linear", "cubic")


@IMPORTERS.register("Resize")
@versions(10, 11, 13, 18, 19)
def import_resize(call: Call) -> Value:
    """Chooses or repeats values, or becomes a convolution that weights neighbours.

    - `mode` is `nearest`, `linear` or `cubic`; factors are constants and may be any.
    - `coordinate_transformation_mode` is `half_pixel`, `pytorch_half_pixel`, `asymmetric`,
      `align_corners`, or `half_pixel_symmetric` with sizes that the factors give exactly.
    - `antialias` and `exclude_outside` are 0.
    """
    way = call.text("coordinate_transformation_mode", "half_pixel")
    way = "asymmetric" if call.version == 10 else way
    nearest = call.text("nearest_mode", "round_prefer_floor")
    a = _fraction(call, call.number("cubic_coeff_a", -0.75))
    call.number("extrapolation_value", 0.0)  # of tf_crop_and_resize
    call.require(
        way in COORDINATES,
        f"has coordinate_transformation_mode={way}; {', '.join(COORDINATES)} are supported",
        "export it with half_pixel",
    )
    call.require(
        nearest in _ROUNDINGS,
        f"has nearest_mode={nearest}; {', '.join(_ROUNDINGS)} are supported",
    )
    for key in ("exclude_outside", "antialias"):
        call.require(
            not call.integer(key, 0),
            f"has {key}=1; only 0 is supported",
            f"export with {key}=0",
        )
    nearest = "floor" if call.version == 10 else nearest
    return _resized(call, _factors(call), way, nearest, cubic(a))


@IMPORTERS.register("Upsample")
@versions(7, 9)
def import_upsample(call: Call) -> Value:
    """Chooses or repeats values, or becomes a convolution that weights neighbours.

    - `mode` is `nearest` or `linear`; factors are constants and may be any.
    """
    scales = call.numbers("scales") if call.version == 7 else call.constant(1).ravel()
    return _resized(call, [_fraction(call, s) for s in scales], "asymmetric", "floor", linear())


def _factors(call: Call) -> list[Fraction]:
    """Return by how much each axis is enlarged, the batch axis included."""
    shape = (1, *call.passed_value().shape)
    axes = call.axes(4, len(shape)) if call.version >= 18 else None
    axes = axes or tuple(range(len(shape)))
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    scales = call.constant(1 if call.version == 10 else 2) if _has_scales(call) else None
    factors = [Fraction(1)] * len(shape)
    if scales is not None:
        given = [_fraction(call, scale) for scale in scales.ravel()]
    else:
        sizes = [int(size) for size in call.raw_constant(3).ravel()]
        given = [Fraction(size, shape[axis]) for size, axis in zip(sizes, axes, strict=False)]
        if policy != "stretch":
            given = [min(given) if policy == "not_larger" else max(given)] * len(given)
    call.require(len(given) == len(axes), f"has {len(given)} factors for {len(axes)} axes")
    for axis, factor in zip(axes, given, strict=True):
        factors[axis] = factor
    return factors


def _has_scales(call: Call) -> bool:
    return call.version == 10 or (call.has(2) and call.raw_constant(2).size > 0)


def _fraction(call: Call, number: float) -> Fraction:
    """Return the ratio of small numbers that a number stands for."""
    call.require(math.isfinite(number), f"has {number} among its numbers")
    return Fraction(float(number)).limit_denominator(_DENOMINATOR_MAX)


def _resized(
    call: Call, factors: Sequence[Fraction], way: str, nearest: str, curved: Curve
) -> Value:
    mode, value = call.text("mode", "nearest"), call.compared_value()
    mode = "linear" if mode == "bilinear" else mode
    call.require(mode in _MODES, f"has mode={mode}; {', '.join(_MODES)} are supported")
    call.require(
        factors[0] == 1 and len(factors) == len(value.shape) + 1 and min(factors) > 0,
        f"has factors {', '.join(map(str, factors))}; above 0, and 1 for the batch, is needed",
    )
    axes = [
        sampling(*sizes, way)
        for sizes in zip(value.shape, call.output_shape, factors[1:], strict=True)
    ]
    call.require(
        way != "half_pixel_symmetric" or all(map(_is_exact, axes)),
        "has coordinate_transformation_mode=half_pixel_symmetric and rounds its sizes",
        "export it with half_pixel",
    )
    if all(axis.is_identity for axis in axes):
        return call.pass_on(value)
    if mode == "nearest":
        call.require(
            call.version != 10 or all(map(_is_told, axes)),
            "shrinks by no whole factor in opset 10, whose runtimes disagree about the nearest",
            "export the model with opset 11 or newer",
        )
        return _chosen(call, value, [_nearest(axis, nearest) for axis in axes])
    return _between(call, axes, linear() if mode == "linear" else curved)


def _is_exact(axis: Sampling) -> bool:
    """Tell whether length and factor are what they are without any rounding."""
    is_dyadic = Fraction(float(np.float32(axis.ratio))) == axis.ratio
    return is_dyadic and axis.length == axis.ratio * axis.source


def _is_told(axis: Sampling) -> bool:
    """Tell whether corners are compared with those of the source, or repeat them."""
    return axis.ratio >= 1 or axis.ratio.numerator == 1


def _nearest(axis: Sampling, rounding: str) -> IndexArray:
    """Return which element of the source each of the result is."""
    places, half = axis.places(), np.float32(0.5)
    if rounding == "round_prefer_floor":
        places = np.ceil(places - half)
    elif rounding == "round_prefer_ceil":
        places = np.floor(places + half)
    else:
        places = np.ceil(places) if rounding == "ceil" else np.floor(places)
    return np.clip(places.astype(np.int64), 0, axis.source - 1)


def _chosen(call: Call, value: Value, chosen: Sequence[IndexArray]) -> Value:
    index = np.arange(value.size).reshape(value.shape)
    return taken(call, value, index[np.ix_(*chosen)])


def _between(call: Call, axes: Sequence[Sampling], curve: Curve) -> Value:
    """Return values between others, weighted."""
    value = call.value()
    resized = tuple(i for i, axis in enumerate(axes) if not axis.is_identity)
    call.require(
        len(axes) in (2, 3) and len(resized) < len(axes),
        f"resizes axes {[i + 1 for i in resized]} of {len(axes) + 1}; spatial axes of "
        "(batch, C, H, W) or (batch, C, L) are supported, but not all with the channels",
        "resize the spatial axes only",
    )
    chosen = [axis.choice(curve) for axis in axes]
    if all(index is not None for index in chosen):
        return _chosen(call, value, [index for index in chosen if index is not None])
    node, where = call.spatial(value, resized)
    sizes = call.builder.shape(node)
    planes = [sampling(size, size, Fraction(1), "asymmetric") for size in sizes]
    for i in resized:
        planes[where[2 * i if len(axes) == 2 else i]] = axes[i]
    (rows, down), (columns, across) = (axis.moved_over(curve) for axis in planes[1:])
    growth = len(rows) * len(columns) / math.prod(axis.length for axis in planes[1:])
    if growth > _GROWTH_MAX and (min(rows) < 0 or min(columns) < 0):
        made = _by_position(call, Value(node, sizes), planes[1:], curve)
        return made.transposed(where).reshaped(call.output_shape)
    source = _spread(call, node, rows, columns)
    kernel = np.tile(np.outer(down, across), (sizes[0], 1, 1, 1)).astype(np.float32)
    stride = (planes[1].ratio.denominator, planes[2].ratio.denominator)
    summed = call.emit(Conv, source, weight=kernel, stride=stride, groups=sizes[0])
    return call.view(summed, where, call.output_shape)


def _spread(call: Call, node: str, rows: IndexArray, columns: IndexArray) -> str:
    """Return a node with chosen rows and columns of another, zeros where they are -1."""
    channels, height, width = call.builder.shape(node)
    if np.array_equal(rows, np.arange(height)) and np.array_equal(columns, np.arange(width)):
        return node
    index = np.arange(channels * height * width).reshape(channels, height, width)
    zeros = (rows < 0)[:, None] | (columns < 0)
    order = np.where(zeros, -1, index[:, rows][:, :, columns])
    return call.emit(Rearrange, node, suffix="spread", shape=order.shape, order=order.ravel())


def _by_position(call: Call, value: Value, axes: Sequence[Sampling], curve: Curve) -> Value:
    """Return ``(C, H, W)`` with both spatial axes multiplied, at once or in turn."""
    for axis in axes:
        call.require(
            axis.length * axis.source <= _AXIS_WEIGHTS_MAX,
            f"makes {axis.length} positions of {axis.source}, each by weights of its own; "
            f"{_AXIS_WEIGHTS_MAX} weights are supported",
            "use half_pixel coordinates and a whole factor",
        )
    channels, (rows, columns) = value.shape[0], (axis.matrix(curve) for axis in axes)
    if rows.size * columns.size <= _WEIGHTS_MAX:
        flat = value.reshaped((channels, math.prod(value.shape[1:]))).transposed((1, 0))
        flat = _mixed(call, flat, np.kron(rows, columns))
        return flat.transposed((1, 0)).reshaped((channels, len(rows), len(columns)))
    value = _mixed(call, value.transposed((1, 0, 2)), rows, suffix="rows")
    return _mixed(call, value.transposed((2, 1, 0)), columns).transposed((1, 2, 0))


def _mixed(call: Call, value: Value, matrix: Array, *, suffix: str = "") -> Value:
    """Return a value with its first axis multiplied by a matrix."""
    first, *rest = value.shape
    source = call.plain(value, (first, *rest) if len(rest) == 2 else (first, 1, *rest))
    weight = matrix.astype(np.float32)[:, :, None, None]
    return Value(call.emit(Conv, source, weight=weight, suffix=suffix), (len(matrix), *rest))
