"""Several layers into one population as one layer of bytes, weights of 8 bits and one kernel.

A sum of layers is a layer of their inputs side by side. Convolutions share a kernel that holds
the taps of all of them, each where it belongs: tap ``i`` reads the position
``output * stride + i * dilation - padding``, so taps are told apart by ``i * dilation -
padding``. One of a single tap may have another stride: its input is thinned out first. Where
strides differ otherwise, each is a sum of layers of stride 1 over what is left of its input
when that is thinned out from the first position, from the second, and so on.

Weights beyond 8 bits become digits, each read from a copy of the input that is shifted up by
as many places as a byte has room for: ``w n = d0 n + d1 (n << s) + ...``

A layer that joins channels one by one would fill its share of the kernel with zeros, so the
population is cut into blocks of output channels, each of which reads its own input channels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from targets.twin.signals import BYTE_MAX, Signal
from toolchain.bounds import Layer
from toolchain.ir.ann import Conv, Dense, Padding, Pair
from toolchain.ir.convolution import output_size
from toolchain.ir.narrow import narrowed
from toolchain.ir.node import Array, IndexArray

WEIGHT_MAX = 127
_COST_MAX, _COST_OF_FLOATS = 4, 1024
"""How many times the multiplications the joined layer may have until float32 is as fast, which
has to divide and to round each sum, too: as long as so many multiplications take."""

_BLOCK = 32
"""Output channels of a block; fewer do not fill the vectors of the kernel."""


@dataclass(frozen=True)
class Part:
    """What a joined layer reads of one input.

    Attributes:
        source: Number of the layer whose input it is.
        shift: Places that the input is shifted up by.
        step: Vertical and horizontal step with which positions are taken.
        start: The first position that is taken.
        behind: Rows and columns of zeros that follow.
        channels: First channel, and the one behind the last; `None` for all.
    """

    source: int
    shift: int = 0
    step: Pair = (1, 1)
    start: Pair = (0, 0)
    behind: Pair = (0, 0)
    channels: Pair | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Output channels that read their parts side by side.

    Attributes:
        parts: In the order of the input channels.
        weight: ``(out, in)`` or ``(out, in / groups, kernel_height, kernel_width)``, within
            +-127.
    """

    parts: tuple[Part, ...]
    weight: Array


@dataclass(frozen=True, eq=False)
class Joined:
    """One layer in place of several.

    Attributes:
        blocks: In the order of the output channels.
        stride: Of a convolution.
        padding: Likewise.
        dilation: Likewise.
        groups: Likewise.
        together: Neighbouring neurons of a row that are output channels of one position, all
            channels of the first of them first.
    """

    blocks: tuple[Block, ...]
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    together: int = 1


@dataclass(frozen=True, eq=False)
class _Piece:
    """A layer, or one digit of its weights, on the way into a joined one."""

    part: Part
    layer: Layer
    size: Pair = (1, 1)


def join(layers: Sequence[Layer], signals: Sequence[Signal]) -> Joined | None:
    """Return the layers as one, `None` where that is impossible or costs too much.

    Args:
        layers: All dense, or all convolutions, with integer weights; biases are not looked at.
        signals: What each of them reads, in bytes with one zero point.
    """
    wanted = sum(layer.weight.size for layer in layers)
    limit = _COST_MAX * wanted + _COST_OF_FLOATS * len(layers[0].weight)
    digits = zip(layers, map(_digits_of, layers, signals), strict=True)
    if sum(layer.weight.size * count for layer, count in digits) > limit:
        return None
    pieces = [
        _Piece(Part(i, shift), replace(layer, weight=digit), signal.shape[1:])  # type: ignore[arg-type]
        for i, (layer, signal) in enumerate(zip(layers, signals, strict=True))
        for shift, digit in _digits(layer.weight, signal)
    ]
    joined = _joined_dense(pieces) if isinstance(layers[0], Dense) else _joined_conv(pieces)
    if joined is None:
        return None
    cost = sum(block.weight.size for block in joined.blocks)
    return joined if cost <= limit else None


def ungrouped(layer: Conv) -> Array:
    """Return the weights of a convolution as those of one group."""
    if layer.groups == 1:
        return layer.weight
    rows, per_group, *kernel = layer.weight.shape
    grouped = layer.weight.reshape(layer.groups, -1, per_group, *kernel)
    shape = (layer.groups, len(grouped[0]), layer.groups, per_group, *kernel)
    weight = np.zeros(shape, layer.weight.dtype)
    group = np.arange(layer.groups)
    weight[group, :, group] = grouped
    return weight.reshape(rows, layer.groups * per_group, *kernel)


def _digits_of(layer: Layer, signal: Signal) -> int:
    """Return how many digits the weights of a layer become at least."""
    largest = int(np.abs(layer.weight).max(initial=0))
    return -(-(largest >> _room(signal)) // WEIGHT_MAX)


def _room(signal: Signal) -> int:
    """Return by how many places bytes can be shifted up."""
    if signal.zero_point == 0 and signal.high > 0:
        return (BYTE_MAX // signal.high).bit_length() - 1
    return 0


def _digits(weight: Array, signal: Signal) -> list[tuple[int, Array]]:
    """Return shifts and digits within +-127 that add up to the weights."""
    if np.abs(weight).max() <= WEIGHT_MAX:
        return [(0, weight)]
    room = _room(signal)
    digits, rest = [], np.asarray(weight, np.int64)
    while np.abs(rest).max() > WEIGHT_MAX:
        digit = np.clip(np.rint(rest / 2**room), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int64)
        digits.append((room, digit))
        rest = rest - (digit << room)
    return [(0, rest), *digits] if rest.any() else digits


def _joined_dense(pieces: Sequence[_Piece]) -> Joined:
    weight = np.concatenate([piece.layer.weight for piece in pieces], axis=1)
    return Joined((Block(tuple(piece.part for piece in pieces), weight),))


def _joined_conv(pieces: Sequence[_Piece]) -> Joined | None:
    if len(pieces) == 1:
        (piece,) = pieces
        return _of_geometry((Block((piece.part,), piece.layer.weight),), _conv(piece))
    first = _conv(pieces[0])
    out = first.output_shape((first.weight.shape[1] * first.groups, *pieces[0].size))[1:]
    if _differ(pieces):
        pieces = [_thinned(piece) for piece in pieces]
    if _differ(pieces):
        pieces = [part for piece in pieces for part in _of_stride_one(piece)]
    if _differ(pieces):
        return None
    first = _conv(pieces[0])
    axes = [_common(pieces, axis, out[axis]) for axis in (0, 1)]
    (top, spacing_y, rows, vertical), (left, spacing_x, columns, horizontal) = axes
    parts = []
    for piece, at_y, at_x in zip(pieces, vertical, horizontal, strict=True):
        weight = ungrouped(_conv(piece))
        wide = np.zeros((*weight.shape[:2], rows, columns), np.int64)
        wide[np.ix_(range(len(wide)), range(wide.shape[1]), at_y, at_x)] = weight
        parts.append(wide)
    size = pieces[0].size
    padding = tuple(
        (before, max(0, (out[axis] - 1) * first.stride[axis] + reach - size[axis] - before))
        for axis, before, reach in (
            (0, top, spacing_y * (rows - 1) + 1),
            (1, left, spacing_x * (columns - 1) + 1),
        )
    )
    whole = Conv(
        name="joined",
        weight=np.zeros((1, 1, rows, columns), np.int64),
        stride=first.stride,
        padding=(padding[0], padding[1]),
        dilation=(spacing_y, spacing_x),
    )
    made = output_size(size, whole.kernel, whole.stride, whole.padding, whole.dilation)
    if made != out:
        return None
    return _of_geometry(_blocks(pieces, parts), whole)


def _blocks(pieces: Sequence[_Piece], weights: Sequence[IndexArray]) -> tuple[Block, ...]:
    """Return the output channels of joined pieces, in blocks if some read their own inputs."""
    outputs = len(weights[0])
    own = [_conv(piece).groups == outputs for piece in pieces]
    size = _BLOCK if any(own) else outputs
    return tuple(
        _block(pieces, weights, own, slice(start, min(start + size, outputs)))
        for start in range(0, outputs, size)
    )


def _block(
    pieces: Sequence[_Piece], weights: Sequence[IndexArray], own: Sequence[bool], rows: slice
) -> Block:
    parts, chosen = [], []
    for piece, weight, reads_own in zip(pieces, weights, own, strict=True):
        per_output = weight.shape[1] // len(weight)
        channels = (rows.start * per_output, rows.stop * per_output)
        reads_all = not reads_own or channels == (0, weight.shape[1])
        parts.append(piece.part if reads_all else replace(piece.part, channels=channels))
        chosen.append(weight[rows] if reads_all else weight[rows, slice(*channels)])
    return Block(tuple(parts), narrowed(np.concatenate(chosen, axis=1)))


def _conv(piece: _Piece) -> Conv:
    if not isinstance(piece.layer, Conv):
        raise TypeError(f"{piece.layer.name} is no convolution")
    return piece.layer


def _of_geometry(blocks: tuple[Block, ...], of: Conv) -> Joined:
    return Joined(blocks, of.stride, of.padding, of.dilation, of.groups)


def _differ(pieces: Sequence[_Piece]) -> bool:
    """Tell whether strides or sizes of inputs differ."""
    return len({(_conv(piece).stride, piece.size) for piece in pieces}) > 1


def _thinned(piece: _Piece) -> _Piece:
    """Return a layer of one tap that takes every position of the thinned-out input."""
    layer = _conv(piece)
    if layer.kernel != (1, 1) or np.any(layer.padding):
        return piece
    size = output_size(piece.size, (1, 1), layer.stride, layer.padding)
    return _Piece(replace(piece.part, step=layer.stride), replace(layer, stride=(1, 1)), size)


def _of_stride_one(piece: _Piece) -> list[_Piece]:
    """Return layers of stride 1 that add up to a layer, each over part of its input."""
    layer = _conv(piece)
    if layer.stride == (1, 1):
        return [piece]
    down, right = layer.stride
    height, width = piece.size
    made = []
    for top, left in itertools.product(range(down), range(right)):
        (at_y, read_y), (at_x, read_x) = _taps_from(layer, 0, top), _taps_from(layer, 1, left)
        if not (len(at_y) and len(at_x)):
            continue
        above, before = (-min(int(read.min()), 0) for read in (read_y, read_x))
        kernel = (int(read_y.max()) + above + 1, int(read_x.max()) + before + 1)
        weight = np.zeros((*layer.weight.shape[:2], *kernel), np.int64)
        chosen = layer.weight[:, :, at_y[:, None], at_x]
        weight[:, :, (read_y + above)[:, None], read_x + before] = chosen
        size = (len(range(0, height, down)), len(range(0, width, right)))
        taken = (len(range(top, height, down)), len(range(left, width, right)))
        behind = (size[0] - taken[0], size[1] - taken[1])
        part = replace(piece.part, step=layer.stride, start=(top, left), behind=behind)
        padding = (above, 0), (before, 0)
        own = replace(layer, weight=weight, stride=(1, 1), dilation=(1, 1), padding=padding)
        made.append(_Piece(part, own, size))
    return made


def _taps_from(layer: Conv, axis: int, start: int) -> tuple[IndexArray, IndexArray]:
    """Return the taps that read every position from ``start`` on, and which of them."""
    taps = np.arange(layer.kernel[axis])
    read = taps * layer.dilation[axis] - layer.padding[axis][0] - start
    own = read % layer.stride[axis] == 0
    return taps[own], read[own] // layer.stride[axis]


def _common(
    pieces: Sequence[_Piece], axis: int, out: int
) -> tuple[int, int, int, list[list[int]]]:
    """Return padding before, spacing and length of the common kernel, and where taps go."""
    offsets = []
    for piece in pieces:
        layer = _conv(piece)
        spaced = layer.dilation[axis] * np.arange(layer.kernel[axis])
        offsets.append(spaced - layer.padding[axis][0])
    everywhere = np.concatenate(offsets)
    first = min(int(everywhere.min()), 0)
    spacing = math.gcd(*(int(offset) - first for offset in everywhere)) or 1
    places = [((own - first) // spacing).tolist() for own in offsets]
    return -first, spacing, max(map(max, places)) + 1, places
