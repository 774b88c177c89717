r"""Bring the staircases of a quantized model to the layers before them, and merge them.

Exporters quantize after every operator, so a value that is pooled, flattened and rectified has
been rounded several times over. A staircase :math:`q(x)` never decreases, so it changes places
with what only chooses or reorders values,

.. math:: q(a \max_i x_i + b) = \max_i q(a x_i + b) \quad (a > 0),

and takes in the limits of what comes before and after it. With :math:`\lfloor \cdot \rceil` for
its rounding, which never decreases either, and :math:`a > 0`,

.. math::
    \lfloor a \max(x, 0) + b \rceil = \max(\lfloor a x + b \rceil, \lfloor b \rceil), \qquad
    \max(a n + b, 0) = a \max(n, -b / a) + b \quad (b / a \text{ whole}),

and on whole numbers a second staircase only limits:
:math:`q_2(n + b) = \mathrm{clip}(n, l_2 - b, h_2 - b) + b` for whole :math:`b`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Affine, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, IndexArray, Node
from toolchain.ir.staircase import Staircase
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_EQUAL = 1e-9


@compiler_pass("simplify-staircases", phase=Phase.PREPARE, after=("activate-before-pool",))
def simplify_staircases(graph: Graph, _: Context) -> Graph:
    """Move or merge every `Staircase` by one node; the phase repeats until none can."""
    return rewrite_each(graph, Staircase, _simplify)


def _simplify(graph: Graph, stairs: Staircase) -> Graph:
    return (
        _before_a_choice(graph, stairs)
        or _with_rectifier_before(graph, stairs)
        or _with_rectifier_after(graph, stairs)
        or _with_staircase_before(graph, stairs)
        or graph
    )


def _before_a_choice(graph: Graph, stairs: Staircase) -> Graph | None:
    """Move a staircase, and the scale before it, to the other side of a pool or reordering."""
    affine, choice = _read_by(graph, stairs)
    if isinstance(choice, MaxPool):
        passes = affine is None or _rises_per_channel(affine)
        moved = dataclasses.replace(stairs, tensor="")
    elif isinstance(choice, Rearrange):
        passes = _keeps(choice, affine, stairs)
        moved = _reordered(stairs, choice.order)
    else:
        return None
    if not passes:
        return None
    graph = graph.swap(moved)
    for _ in range(1 if affine is None else 2):
        graph = graph.exchange(choice.name)
    return graph


def _with_rectifier_before(graph: Graph, stairs: Staircase) -> Graph | None:
    affine, relu = _read_by(graph, stairs)
    line = _line(affine)
    if not isinstance(relu, Relu) or not isinstance(relu.maximum, float) or line is None:
        return None
    scale, shift = line
    limits = _limited(
        stairs,
        _round(stairs, shift),
        np.inf if np.isinf(relu.maximum) else _round(stairs, scale * relu.maximum + shift),
    )
    if limits is None:
        return None
    merged = dataclasses.replace(limits, origin=relu.origin + stairs.origin)
    return graph.swap(merged).bypass(relu.name)


def _with_rectifier_after(graph: Graph, stairs: Staircase) -> Graph | None:
    relu = graph.only_user(stairs.name)
    affine = relu if isinstance(relu, Affine) else None
    if affine is not None:
        relu = graph.only_user(affine.name)
    line = _line(affine)
    if not isinstance(relu, Relu) or not isinstance(relu.maximum, float) or line is None:
        return None
    scale, shift = line
    low, high = -shift / scale, (relu.maximum - shift) / scale
    limits = _limited(
        stairs,
        low if low > stairs.low else stairs.low,
        high if high < stairs.high else stairs.high,
    )
    if limits is None:
        return None
    merged = dataclasses.replace(limits, origin=stairs.origin + relu.origin)
    return graph.swap(merged).bypass(relu.name)


def _with_staircase_before(graph: Graph, stairs: Staircase) -> Graph | None:
    affine, first = _read_by(graph, stairs)
    line = _line(affine)
    if not isinstance(first, Staircase) or line is None or abs(line[0] - 1) > _EQUAL:
        return None
    shift = line[1]
    limits = _limited(first, stairs.low - shift, stairs.high - shift)
    if limits is None or not _is_whole(shift):
        return None
    merged = dataclasses.replace(limits, origin=first.origin + stairs.origin)
    graph = graph.swap(merged).bypass(stairs.name)
    if affine is None:
        return graph
    if round(shift):
        exact = dataclasses.replace(affine, scale=np.ones(()), shift=np.array(round(shift)))
        return graph.swap(exact)
    merged = dataclasses.replace(merged, origin=affine.origin + merged.origin)
    return graph.swap(merged).bypass(affine.name)


def _read_by(graph: Graph, stairs: Staircase) -> tuple[Affine | None, Node | None]:
    """Return the scale before a staircase and what that reads, if nothing else reads them."""
    before = graph.producer(stairs)
    affine = before if isinstance(before, Affine) else None
    if affine is not None:
        if graph.only_user(affine.name) is not stairs:
            return None, None
        before = graph.producer(affine)
    return affine, before if graph.only_user(before.name) is not None else None


def _line(affine: Affine | None) -> tuple[float, float] | None:
    """Return scale > 0 and shift that are the same everywhere; `None` if they are not."""
    if affine is None:
        return 1.0, 0.0
    if affine.scale.size != 1 or affine.shift.size != 1 or affine.scale.item() <= 0:
        return None
    return float(affine.scale.item()), float(affine.shift.item())


def _limited(stairs: Staircase, low: float, high: float) -> Staircase | None:
    """Return a staircase within more limits; `None` unless they are whole and leave a step."""
    low, high = max(stairs.low, low), min(stairs.high, high)
    if not (_is_whole(low) and _is_whole(high)) or low >= high:
        return None
    return dataclasses.replace(stairs, low=_whole(low), high=_whole(high))


def _is_whole(value: float) -> bool:
    return bool(np.isinf(value)) or abs(value - np.rint(value)) < _EQUAL


def _whole(value: float) -> float:
    return float(np.rint(value))


def _round(stairs: Staircase, value: float) -> float:
    return float(np.floor(value) if stairs.rounds_down else np.rint(value))


def _rises_per_channel(affine: Affine) -> bool:
    def is_per_channel(value: Array) -> bool:
        return np.ndim(value) == 0 or (np.ndim(value) == 3 and value.shape[1:] == (1, 1))

    rises = bool(np.all(affine.scale > 0))
    return rises and is_per_channel(affine.scale) and is_per_channel(affine.shift)


def _keeps(choice: Rearrange, affine: Affine | None, stairs: Staircase) -> bool:
    """Tell whether a staircase and its scale may come before a reordering."""
    if affine is not None and (affine.scale.size != 1 or affine.shift.size != 1):
        return False
    adds_zeros = choice.order is not None and int(choice.order.min()) < 0
    is_odd = affine is None or not affine.shift.any()
    return not adds_zeros or (is_odd and stairs.low <= 0 <= stairs.high)


def _reordered(stairs: Staircase, order: IndexArray | None) -> Staircase:
    """Return the staircase for values in the order before a rearrangement."""
    if order is None or not stairs.tensor:
        return stairs
    flat = order.ravel()
    if not np.array_equal(np.sort(flat), np.arange(flat.size)):
        return dataclasses.replace(stairs, tensor="", tensor_order=None)
    back = np.argsort(flat)
    tensor_order = back if stairs.tensor_order is None else stairs.tensor_order.ravel()[back]
    return dataclasses.replace(stairs, tensor_order=tensor_order)
