r"""Let every staircase count from zero, as spike counts do.

The steps :math:`l .. h` of a signed quantizer are counted from the lowest:

.. math::
    \mathrm{clip}(\lfloor x \rceil, l, h) =
    \mathrm{clip}(\lfloor x - l \rceil, 0, h - l) + l

with a constant on both sides that the layers take in. (Where :math:`x` is exactly between two
steps and :math:`l` is odd, the two sides round it to different ones: both are as near.)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.staircase import Staircase
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("count-from-zero", phase=Phase.PREPARE, after=("round-on-host",))
def count_from_zero(graph: Graph, _: Context) -> Graph:
    """Start every `Staircase` that has limits at 0."""
    return rewrite_each(graph, Staircase, _from_zero)


def _from_zero(graph: Graph, stairs: Staircase) -> Graph:
    low = stairs.low
    if low == 0 or np.isinf(low) or np.isinf(stairs.high):
        return graph
    above = Affine(
        name=graph.unused(f"{stairs.name}/above"),
        inputs=stairs.inputs,
        origin=stairs.origin,
        shift=np.array(-low),
    )
    counted = dataclasses.replace(
        stairs,
        inputs=(above.name,),
        low=0.0,
        high=stairs.high - low,
        tensor_zero=stairs.tensor_zero + int(low),
    )
    back = Affine(
        name=graph.unused(f"{stairs.name}/back"),
        inputs=(stairs.name,),
        origin=stairs.origin,
        shift=np.array(low),
    )
    nodes: list[Node] = []
    for node in graph:
        if node.name == stairs.name:
            nodes.extend((above, counted, back))
            continue
        inputs = tuple(back.name if i == stairs.name else i for i in node.inputs)
        nodes.append(dataclasses.replace(node, inputs=inputs))
    return graph.with_nodes(nodes)
