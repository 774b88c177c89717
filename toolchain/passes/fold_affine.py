r"""Fold elementwise scales and shifts into the layers around them.

Backward, into the layer before, for :math:`y = s (W x + b) + t`:

.. math:: W' = s W, \qquad b' = s b + t

Forward, into the layer after, for :math:`y = W (s x + t) + b`:

.. math:: W' = W s, \qquad b' = b + W t

where a convolution pads :math:`s x + t` with zeros, so that :math:`W t` depends on the position
at the borders and the bias becomes one number a neuron. On its way to a layer, an affine passes

- a max-pool, if :math:`s > 0`, because then it never decreases,
- a sum-pool, where :math:`t` is added once for each value in the window,
- a rearrangement, rearranged with it.

Scale and shift must be the same at all positions of a channel where channels are convolved or
pooled; what is not is left for `verify` to name.
"""

from __future__ import annotations

import dataclasses
from functools import singledispatch

import numpy as np

from toolchain.ir.ann import (
    Add,
    Affine,
    Conv,
    Dense,
    MaxPool,
    Output,
    Rearrange,
    SumPool,
)
from toolchain.ir.convolution import convolve, windows
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node, Shape
from toolchain.ir.reference import gather
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_PASSED = (MaxPool, SumPool, Rearrange)
_FOLDED = (Dense, Conv, Output)


@compiler_pass("fold-affine", phase=Phase.PREPARE, after=("activate-before-pool",))
def fold_affine(graph: Graph, _: Context) -> Graph:
    """Fold or move every `Affine` by one node; the phase repeats until none can move."""
    return rewrite_each(graph, Affine, _fold)


def _fold(graph: Graph, affine: Affine) -> Graph:
    return _fold_backward(graph, affine) or _fold_forward(graph, affine) or graph


def _fold_backward(graph: Graph, affine: Affine) -> Graph | None:
    layer = graph.producer(affine)
    if graph.only_user(layer.name) is not affine:
        return None
    if isinstance(layer, Add):
        return _into_sum(graph, affine, layer)
    scale, shift = affine.scale, affine.shift
    folded: Node
    if isinstance(layer, Dense):
        weight = layer.weight * np.reshape(scale, (-1, 1))
        folded = dataclasses.replace(layer, weight=weight, bias=layer.bias * scale + shift)
    elif isinstance(layer, Conv) and is_per_channel(scale):
        weight = layer.weight * np.reshape(scale, (-1, 1, 1, 1))
        bias = layer.bias * scale + shift
        if not is_per_channel(bias):
            bias = np.broadcast_to(bias, graph.shapes[layer.name])
        folded = dataclasses.replace(layer, weight=weight, bias=bias)
    elif isinstance(layer, Affine):
        folded = dataclasses.replace(
            layer, scale=layer.scale * scale, shift=layer.shift * scale + shift
        )
    else:
        return None
    folded = dataclasses.replace(folded, origin=layer.origin + affine.origin)
    return graph.swap(folded).bypass(affine.name)


def _into_sum(graph: Graph, affine: Affine, total: Add) -> Graph:
    """Scale each term of a sum instead of the sum; the first takes the shift."""
    terms = [
        dataclasses.replace(
            affine,
            name=graph.unused(f"{affine.name}/term{number}"),
            inputs=(source,),
            shift=affine.shift if number == 1 else np.zeros(()),
        )
        for number, source in enumerate(total.inputs, 1)
    ]
    scaled = dataclasses.replace(total, inputs=tuple(term.name for term in terms))
    return graph.insert_before(total.name, *terms).swap(scaled).bypass(affine.name)


def _fold_forward(graph: Graph, affine: Affine) -> Graph | None:
    user = graph.only_user(affine.name)
    if not isinstance(user, (*_PASSED, *_FOLDED)):
        return None
    if isinstance(user, _PASSED):
        moved = _past(user, affine, graph.shapes[affine.name])
        return None if moved is None else graph.swap(moved).exchange(affine.name)
    folded = _into(user, affine, graph.shapes[affine.name])
    if folded is None:
        return None
    folded = dataclasses.replace(folded, origin=affine.origin + user.origin)
    return graph.swap(folded).bypass(affine.name)


@singledispatch
def _past(user: Node, affine: Affine, shape: Shape) -> Affine | None:
    """Return what ``affine`` becomes behind ``user``; `None` where it cannot pass."""
    raise NotImplementedError(user.kind)


@_past.register
def _(user: MaxPool, affine: Affine, shape: Shape) -> Affine | None:
    passes = is_per_channel(affine.scale) and is_per_channel(affine.shift)
    return affine if passes and bool(np.all(affine.scale > 0)) else None


@_past.register
def _(user: SumPool, affine: Affine, shape: Shape) -> Affine | None:
    if not is_per_channel(affine.scale):
        return None
    full = np.broadcast_to(affine.shift, shape)[None]
    summed = windows(full, user.kernel, user.stride, user.padding).sum(axis=(4, 5))[0]
    return dataclasses.replace(affine, shift=_compressed(summed))


@_past.register
def _(user: Rearrange, affine: Affine, shape: Shape) -> Affine | None:
    has_zeros = user.order is not None and int(user.order.min()) < 0

    def rearranged(value: Array) -> Array:
        if np.ndim(value) == 0 and not has_zeros:
            return value
        flat = np.broadcast_to(value, shape).reshape(1, -1)
        return gather(flat, user.order).reshape(user.shape)

    scale = rearranged(affine.scale)
    if has_zeros and user.order is not None and len(user.shape) == 3:
        # A zero may be scaled by anything: by what the rest of its channel is.
        scale = np.where(user.order.reshape(user.shape) < 0, np.nan, scale)
        of_channel = np.nan_to_num(np.nanmax(scale, axis=(1, 2), keepdims=True), nan=1.0)
        scale = np.where(np.isnan(scale), of_channel, scale)
    return dataclasses.replace(
        affine, scale=_compressed(scale), shift=_compressed(rearranged(affine.shift))
    )


@singledispatch
def _into(user: Node, affine: Affine, shape: Shape) -> Node | None:
    """Return what ``user`` becomes with ``affine`` in it; `None` where it cannot take it."""
    raise NotImplementedError(user.kind)


@_into.register
def _(user: Dense, affine: Affine, shape: Shape) -> Node | None:
    shift = np.broadcast_to(affine.shift, shape)
    return dataclasses.replace(
        user, weight=user.weight * affine.scale, bias=user.bias + user.weight @ shift
    )


@_into.register
def _(user: Conv, affine: Affine, shape: Shape) -> Node | None:
    if not is_per_channel(affine.scale):
        return None
    shift = np.broadcast_to(affine.shift, shape)[None].astype(np.float64)
    weight = user.weight.astype(np.float64)
    added = convolve(shift, weight, user.stride, user.padding, user.dilation, user.groups)[0]
    scale = np.broadcast_to(np.reshape(affine.scale, -1), shape[0])
    per_group = scale.reshape(user.groups, 1, -1, 1, 1)
    grouped = weight.reshape(user.groups, -1, *weight.shape[1:]) * per_group
    return dataclasses.replace(
        user,
        weight=grouped.reshape(weight.shape).astype(user.weight.dtype),
        bias=_compressed(user.bias + added),
    )


@_into.register
def _(user: Output, affine: Affine, shape: Shape) -> Node | None:
    return dataclasses.replace(
        user,
        scale=np.asarray(user.scale * affine.scale),
        offset=np.asarray(user.offset + affine.shift * user.scale),
    )


def is_per_channel(value: Array) -> bool:
    """Tell whether a scale or shift is the same at all positions of a channel."""
    return np.ndim(value) == 0 or (np.ndim(value) == 3 and value.shape[1:] == (1, 1))


def _compressed(value: Array) -> Array:
    """Return ``(C, 1, 1)`` of ``(C, H, W)`` where all positions are equal."""
    if np.ndim(value) < 3:
        return value
    corner = value[..., :1, :1]
    return corner if bool(np.all(value == corner)) else value
