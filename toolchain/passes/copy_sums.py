"""Copy a layer, or a sum of layers, for every activation and sum that reads it.

A population has its thresholds for itself, and its sum is nobody else's. Where a sum has other
readers that are sums or activations, too, each gets its own copy of the layers: exact, and no
step later. A stream that gathers what every block adds to it would be copied once more in each
block, so from so many layers on the sum is left for `split-signed`. Trained neurons have no
such choice, for they leave nothing between them that could be rounded.
"""

from __future__ import annotations

import dataclasses

from toolchain.ir.ann import Add, Affine, Conv, Dense, Output, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.rewriting import Context, compiler_pass

_LAYERS_MAX = 4
_READERS = (Add, Affine, LmHt, Output, Rearrange, Relu, Smooth)


@compiler_pass("copy-sums", phase=Phase.PREPARE, after=("compose-sum-pool",))
def copy_sums(graph: Graph, _: Context) -> Graph:
    """Copy every sum that several nodes read, where all can have one of their own."""
    most = len(graph.nodes) if graph.of_type(LmHt) else _LAYERS_MAX
    for name in [node.name for node in graph]:
        node, users = graph[name], graph.users(name)
        layers = _layers(graph, node)
        if not 0 < len(layers) < most or len(users) < 2:
            continue
        if all(isinstance(user, _READERS) for user in users):
            for user in users[1:]:
                graph = _with_copy(graph, node, layers, user.name)
    return graph


def _layers(graph: Graph, node: Node) -> tuple[Node, ...]:
    """Return the layers that a sum adds up, or the layer itself; nothing for other nodes."""
    if isinstance(node, (Dense, Conv)):
        return (node,)
    parts = tuple(graph[name] for name in node.inputs) if isinstance(node, Add) else ()
    return parts if all(isinstance(part, (Dense, Conv)) for part in parts) else ()


def _with_copy(graph: Graph, node: Node, layers: tuple[Node, ...], user: str) -> Graph:
    names = {}
    for part in layers:
        names[part.name] = graph.unused(f"{part.name}/copy")
        copy = dataclasses.replace(graph[part.name], name=names[part.name])
        graph = graph.insert_before(user, copy)
    if isinstance(node, Add):
        names[node.name] = graph.unused(f"{node.name}/copy")
        inputs = tuple(names[name] for name in node.inputs)
        copied = dataclasses.replace(node, name=names[node.name], inputs=inputs)
        graph = graph.insert_before(user, copied)
    return graph.redirect(node.name, [user], names[node.name])
