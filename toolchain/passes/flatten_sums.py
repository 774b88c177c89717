"""Make one sum of a sum of sums, and a scale of what it adds twice."""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Add, Affine
from toolchain.ir.graph import Graph, Phase
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("flatten-sums", phase=Phase.PREPARE, after=("fold-rearrangement",))
def flatten_sums(graph: Graph, _: Context) -> Graph:
    """Merge every `Add` that only another one reads into that; let none read a node twice."""
    return rewrite_each(graph, Add, _flatten)


def _flatten(graph: Graph, node: Add) -> Graph:
    for source in dict.fromkeys(node.inputs):
        if node.inputs.count(source) > 1:
            return _scaled(graph, node, source)
    user = graph.only_user(node.name)
    if not isinstance(user, Add) or user.inputs.count(node.name) != 1:
        return graph
    merged = user.reading(node.name, *node.inputs)
    merged = dataclasses.replace(merged, origin=node.origin + user.origin)
    return graph.swap(merged).without(node.name)


def _scaled(graph: Graph, node: Add, source: str) -> Graph:
    """Return the graph in which ``node`` reads ``source`` once, scaled."""
    factor = np.array(float(node.inputs.count(source)))
    others = tuple(name for name in node.inputs if name != source)
    if not others:
        only = Affine(name=node.name, inputs=(source,), origin=node.origin, scale=factor)
        return graph.swap(only)
    scaled = Affine(
        name=graph.unused(f"{node.name}/{source}"),
        inputs=(source,),
        origin=node.origin,
        scale=factor,
    )
    total = dataclasses.replace(node, inputs=(scaled.name, *others))
    return graph.insert_before(node.name, scaled).swap(total)
