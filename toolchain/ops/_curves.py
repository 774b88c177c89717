"""Functions of one value: what several nodes compute of it elementwise, as one curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.ir.ann import Add, Affine, Relu
from toolchain.ir.curve import Curve, X
from toolchain.ir.node import Node
from toolchain.ir.smooth import Smooth
from toolchain.ops._call import Call
from toolchain.ops._layout import Value

_ELEMENTWISE = (Add, Affine, Relu, Smooth)
_DEPTH_MAX, _SIZE_MAX = 32, 64


@dataclass(frozen=True)
class Traced:
    """A node's output as a curve of another's.

    Attributes:
        source: Name of the other node.
        curve: What is computed of it.
        nodes: That compute it.
    """

    source: str
    curve: Curve = X
    nodes: tuple[Node, ...] = ()


def curved(call: Call, value: Value, curve: Curve) -> Value:
    """Return a curve of a value; one of the value's own source, where that is a curve, too.

    Args:
        call: That computes it.
        value: What it is a function of.
        curve: The function.
    """
    traced = _Tracer(call).trace(value.node)
    if not any(isinstance(node, Smooth) for node in traced.nodes):
        traced = Traced(value.node)
    return _emitted(call, value, traced, curve.of(traced.curve))


def product(
    call: Call, first: Value, second: Value, *, is_quotient: bool = False
) -> Value | None:
    """Return the product of two values as a curve, if both are curves of the same one.

    Args:
        call: That multiplies them.
        first: A factor, or the dividend.
        second: Another factor, or the divisor.
        is_quotient: Whether it divides.
    """
    if first.shape != second.shape or not np.array_equal(first.indices(), second.indices()):
        return None
    for source in _nodes_up_to(_Tracer(call).trace(first.node)):
        one = _Tracer(call, source).trace(first.node)
        other = _Tracer(call, source).trace(second.node)
        if one.source == other.source == source:
            factor = other.curve.then("reciprocal") if is_quotient else other.curve
            nodes = tuple(dict.fromkeys((*one.nodes, *other.nodes)))
            return _emitted(call, first, Traced(source, X, nodes), one.curve.times(factor))
    return None


def _nodes_up_to(traced: Traced) -> list[str]:
    """Return the names of what was traced, the nearest first."""
    return [*(node.name for node in reversed(traced.nodes)), traced.source]


def _emitted(call: Call, value: Value, traced: Traced, curve: Curve) -> Value:
    """Make the activation; it stands for the nodes whose work it does, too."""
    origins = (name for node in traced.nodes for name in node.origin)
    absorbed = tuple(dict.fromkeys(origins))
    node = call.emit(Smooth, traced.source, curve=curve, absorbed=absorbed)
    return value.moved_to(node)


class _Tracer:
    """Goes back from nodes to the one value that they are functions of.

    Args:
        call: Whose builder has the nodes.
        stop: Name of the node to go back to, if it is met; else as far as there is one value.
    """

    def __init__(self, call: Call, stop: str = "") -> None:
        self._call, self._stop = call, stop
        self._known: dict[str, Traced] = {}

    def trace(self, name: str, depth: int = _DEPTH_MAX) -> Traced:
        """Return what a node computes elementwise of one value."""
        if name not in self._known:
            self._known[name] = self._traced(name, depth)
        return self._known[name]

    def _traced(self, name: str, depth: int) -> Traced:
        node = self._call.builder.settled(name)
        if name == self._stop or not depth or not isinstance(node, _ELEMENTWISE):
            return Traced(name)
        parts = [self.trace(source, depth - 1) for source in node.inputs]
        sources = {part.source for part in parts}
        curve = _curve(node, [part.curve for part in parts]) if len(sources) == 1 else None
        if curve is None or curve.size > _SIZE_MAX:
            return Traced(name)
        nodes = dict.fromkeys(other for part in parts for other in part.nodes)
        return Traced(sources.pop(), curve, (*nodes, node))


def _curve(node: Node, parts: list[Curve]) -> Curve | None:
    if isinstance(node, Affine) and node.scale.size == node.shift.size == 1:
        return parts[0].scaled(float(node.scale.item()), float(node.shift.item()))
    if isinstance(node, Relu):
        return parts[0].then("clip", 0.0, float(np.max(node.maximum)))
    if isinstance(node, Smooth):
        return node.curve.of(parts[0])
    if isinstance(node, Add):
        total = parts[0]
        for part in parts[1:]:
            total = total.plus(part)
        return total
    return None
