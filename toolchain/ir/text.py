"""The text form of a graph: one line a node, the same for the same graph."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from toolchain.ir.graph import Graph
from toolchain.ir.node import Node

_SMALL = 4
_HIDDEN = ("name", "inputs", "origin")


def print_graph(graph: Graph) -> str:
    """Return the text form, ending with a newline."""
    head = f"graph {graph.name!r} after {graph.phase.name.lower()}"
    lines = [_line(graph, node) for node in graph]
    if graph.constants:
        lines.append(f"constants: {', '.join(graph.constants)}")
    return "\n".join([head, *(f"  {line}" for line in lines)]) + "\n"


def _line(graph: Graph, node: Node) -> str:
    fields = [
        f"{field.name}={_value(getattr(node, field.name))}"
        for field in dataclasses.fields(node)
        if field.name not in _HIDDEN and not _is_default(field, getattr(node, field.name))
    ]
    reads = ", ".join(f"%{source}" for source in node.inputs)
    shape = "x".join(map(str, graph.shapes[node.name]))
    origin = f"  # {', '.join(node.origin)}" if node.origin else ""
    body = f"%{node.name} = {node.kind}({reads})"
    return " ".join([body, *fields, f": {shape}"]) + origin


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(np.array_equal(value, field.default))
    if field.default_factory is not dataclasses.MISSING:
        return bool(np.array_equal(value, field.default_factory()))
    return False


def _value(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value) if isinstance(value, (str, float)) else str(value).replace(" ", "")
    if value.size <= _SMALL:
        return str(value.tolist()).replace(" ", "")
    shape = "x".join(map(str, value.shape))
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:8]
    return f"{value.dtype}[{shape}]{{{value.min():g}..{value.max():g} {digest}}}"
