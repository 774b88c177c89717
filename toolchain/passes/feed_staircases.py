r"""Give every staircase a layer to read, and let it count from zero.

Neurons are fed by synapses. Where a quantizer reads other neurons, because values are quantized
anew behind an average pool or with another scale, the scale between the two becomes a layer
with one synapse a neuron.

Spike counts start at 0, so the steps :math:`l .. h` of a signed quantizer are counted from the
lowest:

.. math::
    \mathrm{clip}(\lfloor x \rceil, l, h) =
    \mathrm{clip}(\lfloor x - l \rceil, 0, h - l) + l

with a constant on both sides that the layers take in. (Where :math:`x` is exactly between two
steps and :math:`l` is odd, the two sides round it to different ones: both are as near.)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Add, Affine, Conv, Dense, Input, MaxPool, Rearrange, Relu, SumPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import Staircase
from toolchain.passes.fold_affine import fold_affine
from toolchain.passes.round_on_host import round_on_host
from toolchain.passes.simplify_staircases import simplify_staircases
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_NO_LAYERS = (Input, Relu, Staircase, LmHt, MaxPool, Rearrange)
_SETTLING = (simplify_staircases, round_on_host, fold_affine)


@compiler_pass("feed-staircases", phase=Phase.PREPARE, after=("round-on-host",))
def feed_staircases(graph: Graph, context: Context) -> Graph:
    """Make a layer of what feeds a `Staircase` from other neurons, and start it at zero.

    Scales that may still be merged, and staircases, are left to the passes that do it.
    """
    if any(settle(graph, context) is not graph for settle in _SETTLING):
        return graph
    return rewrite_each(graph, Staircase, _fed)


def _fed(graph: Graph, stairs: Staircase) -> Graph:
    before = graph.producer(stairs)
    if isinstance(before, (Dense, Conv, Add)):
        is_signed = stairs.low != 0 and np.isfinite([stairs.low, stairs.high]).all()
        return _from_zero(graph, stairs) if is_signed else graph
    if isinstance(before, _NO_LAYERS):
        affine = Affine(name=_unused(graph, f"{stairs.name}/layer"), inputs=stairs.inputs)
        reading = dataclasses.replace(stairs, inputs=(affine.name,))
        graph = _with_before(graph.swap(reading), stairs.name, affine)
        return _with_layer(graph, affine) or graph
    if not isinstance(before, Affine) or graph.only_user(before.name) is not stairs:
        return graph
    source = graph.producer(before)
    if isinstance(source, SumPool):
        source = graph.producer(source)
    return _with_layer(graph, before) or graph if isinstance(source, _NO_LAYERS) else graph


def _with_layer(graph: Graph, affine: Affine) -> Graph | None:
    """Return the graph with a layer in place of an affine; `None` where none can be it."""
    shape = graph.shapes[affine.name]
    if len(shape) == 1:
        weight = np.diag(np.broadcast_to(affine.scale, shape).astype(np.float64))
        bias = np.broadcast_to(affine.shift, shape)
        return graph.swap(
            Dense(
                name=affine.name,
                inputs=affine.inputs,
                origin=affine.origin,
                weight=weight,
                bias=bias,
            )
        )
    if len(shape) != 3 or np.shape(affine.scale) not in ((), (shape[0], 1, 1)):
        return None
    weight = np.broadcast_to(affine.scale, (shape[0], 1, 1)).astype(np.float64)
    return graph.swap(
        Conv(
            name=affine.name,
            inputs=affine.inputs,
            origin=affine.origin,
            weight=weight[..., None],
            bias=affine.shift,
            groups=shape[0],
        )
    )


def _from_zero(graph: Graph, stairs: Staircase) -> Graph:
    low = stairs.low
    above = Affine(
        name=_unused(graph, f"{stairs.name}/above"),
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
        name=_unused(graph, f"{stairs.name}/back"),
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


def _with_before(graph: Graph, name: str, new: Node) -> Graph:
    """Return the graph with another node right before the one called ``name``."""
    nodes: list[Node] = []
    for node in graph:
        nodes.extend((new, node) if node.name == name else (node,))
    return graph.with_nodes(nodes)


def _unused(graph: Graph, wish: str) -> str:
    name, count = wish, 1
    while name in graph:
        count += 1
        name = f"{wish}#{count}"
    return name
