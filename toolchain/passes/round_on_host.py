r"""Leave the quantizers at both ends of the network to the host.

A staircase right behind the input says which integers stand for the sample:

.. math::
    \mathrm{clip}(\mathrm{rint}(a x + b), l, h) =
    \mathrm{clip}(\mathrm{rint}(x / a^{-1}), l - b, h - b) + b \quad (b \text{ whole}),

so :math:`a^{-1}` is the scale of its encoding. One right before the output rounds what the host
reads anyway.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Affine, Encoding, HostOp, Input, Output
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import IndexArray
from toolchain.ir.staircase import Staircase
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_LARGEST = 2**31 - 1
"""Largest integer that a message of 32 bits holds."""


@compiler_pass("round-on-host", phase=Phase.PREPARE, after=("simplify-staircases",))
def round_on_host(graph: Graph, _: Context) -> Graph:
    """Make every `Staircase` at an end of the network an encoding, or part of the tail."""
    return rewrite_each(graph, Staircase, _rounded_on_host)


def _rounded_on_host(graph: Graph, stairs: Staircase) -> Graph:
    if stairs.rounds_down:
        return graph
    return _encoded(graph, stairs) or _decoded(graph, stairs) or graph


def _encoded(graph: Graph, stairs: Staircase) -> Graph | None:
    before = graph.producer(stairs)
    affine = before if isinstance(before, Affine) else None
    entry = before if affine is None else graph.producer(affine)
    if not isinstance(entry, Input) or entry.encoding is not None or entry.windows > 1:
        return None
    chain = (entry, stairs) if affine is None else (entry, affine, stairs)
    if any(graph.only_user(node.name) is None for node in chain[:-1]):
        return None
    scale, shift = (affine.scale, affine.shift) if affine else (np.ones(()), np.zeros(()))
    whole = scale.size == shift.size == 1 and shift.item() == np.rint(shift.item())
    if not whole or scale.item() <= 0 or np.isinf(stairs.high - stairs.low):
        return None
    zero = int(shift.item())
    if max(abs(stairs.low - zero), abs(stairs.high - zero)) > _LARGEST:
        return None
    is_in_order = np.array_equal(_or_empty(stairs.tensor_order), _or_empty(entry.order))
    encoding = Encoding(
        1 / scale.item(),
        int(stairs.low) - zero,
        int(stairs.high) - zero,
        tensor=stairs.tensor if is_in_order else "",
        tensor_zero=stairs.tensor_zero + zero,
    )
    absorbed = entry.origin + (affine.origin if affine else ()) + stairs.origin
    graph = graph.swap(dataclasses.replace(entry, encoding=encoding, origin=absorbed))
    if affine is None or not zero:
        return (
            graph.bypass(stairs.name).bypass(affine.name)
            if affine
            else (graph.bypass(stairs.name))
        )
    moved = dataclasses.replace(affine, scale=np.ones(()), shift=np.array(float(zero)))
    return graph.swap(moved).bypass(stairs.name)


def _decoded(graph: Graph, stairs: Staircase) -> Graph | None:
    output = graph.only_user(stairs.name)
    if not isinstance(output, Output) or output.scale.size != 1 or output.offset.size != 1:
        return None
    factor, shift = float(output.scale.item()), float(output.offset.item())
    tail = (
        HostOp(
            name=stairs.name,
            function="round",
            low=stairs.low,
            high=stairs.high,
            tensor=_tensor_in_order(stairs, output),
            tensor_zero=stairs.tensor_zero,
        ),
        HostOp(name=f"{stairs.name}/scale", function="affine", factor=factor, shift=shift),
    )
    plain = dataclasses.replace(
        output,
        origin=stairs.origin + output.origin,
        scale=np.ones(()),
        offset=np.zeros(()),
        tail=(*tail, *output.tail),
    )
    return graph.swap(plain).bypass(stairs.name)


def _or_empty(order: IndexArray | None) -> IndexArray:
    return np.zeros(0, np.int64) if order is None else order.ravel()


def _tensor_in_order(stairs: Staircase, output: Output) -> str:
    """Return the value that holds the steps if it has them in the order of the output."""
    there, back = _or_empty(stairs.tensor_order), _or_empty(output.order)
    in_order = there.size == back.size and np.array_equal(there[back], np.arange(there.size))
    return stairs.tensor if in_order else ""
