"""How long the values of a graph are needed."""

from __future__ import annotations

from collections.abc import Mapping

from toolchain.ir.graph import Graph


def last_readers(graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """Return by node the names of the nodes that nothing reads after it."""
    last = {node.name: node.name for node in graph}
    for node in graph:
        last |= dict.fromkeys(node.inputs, node.name)
    done: dict[str, list[str]] = {node.name: [] for node in graph}
    for name, reader in last.items():
        done[reader].append(name)
    return {name: tuple(names) for name, names in done.items()}
