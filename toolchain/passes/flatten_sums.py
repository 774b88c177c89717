"""Make one sum of a sum of sums."""

from __future__ import annotations

import dataclasses

from toolchain.ir.ann import Add
from toolchain.ir.graph import Graph, Phase
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("flatten-sums", phase=Phase.PREPARE, after=("fold-rearrangement",))
def flatten_sums(graph: Graph, _: Context) -> Graph:
    """Merge every `Add` that only another one reads, once, into that."""
    return rewrite_each(graph, Add, _flatten)


def _flatten(graph: Graph, node: Add) -> Graph:
    user = graph.only_user(node.name)
    if not isinstance(user, Add) or user.inputs.count(node.name) != 1:
        return graph
    place = user.inputs.index(node.name)
    inputs = (*user.inputs[:place], *node.inputs, *user.inputs[place + 1 :])
    merged = dataclasses.replace(user, inputs=inputs, origin=node.origin + user.origin)
    return graph.swap(merged).without(node.name)
