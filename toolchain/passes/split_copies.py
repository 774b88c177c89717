"""Give every reader of a scale, a rearrangement or a skip a copy of its own.

They cost nothing once they are folded into what reads them, and each reader folds its own.
"""

from __future__ import annotations

import dataclasses

from toolchain.ir.ann import Affine, Rearrange
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.passes.compose_skip import is_skip
from toolchain.rewriting import Context, compiler_pass


@compiler_pass("split-copies", phase=Phase.PREPARE, after=("activate-before-pool",))
def split_copies(graph: Graph, _: Context) -> Graph:
    """Copy every such node that several nodes read, one for each of them."""
    for node in graph:
        users = graph.users(node.name)
        if len(users) > 1 and _is_free(node):
            for user in users[1:]:
                copy = dataclasses.replace(node, name=graph.unused(f"{node.name}/copy"))
                graph = graph.insert_before(user.name, copy)
                graph = graph.redirect(node.name, [user.name], copy.name)
    return graph


def _is_free(node: Node) -> bool:
    return isinstance(node, (Affine, Rearrange)) or is_skip(node)
