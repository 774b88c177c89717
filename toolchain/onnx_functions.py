"""The functions of our ONNX domain: what an LM-HT network needs besides standard operators.

An ONNX *function* is an operator that brings its own definition in standard operators, so a
file with these runs in any runtime, and a compiler can recognize a node by its domain and type
and read all there is to know from its attributes.

Between them, windows are folded into the batch axis, row ``n * windows + t`` holding window t
of sample n, so that every layer between two neurons is a standard operator on a larger batch:

- ``RepeatWindows(x)``: ``(N, ...)`` to ``(N * windows, ...)``, the same in every window.
- ``FoldWindows(x)``: ``(N, windows, ...)`` to ``(N * windows, ...)``.
- ``MultiThreshold(x)``: the neuron; keeps the shape, and is all that mixes windows.
- ``AverageWindows(x)``: ``(N * windows, K)`` to ``(N, K)``, the mean.

Attributes: ``windows`` of all four; of the neuron ``levels`` besides, ``threshold``, ``mixing``
(``windows**2`` floats, row by row; row = receiving window), ``retention`` and ``initial``.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import AttributeProto, helper

DOMAIN = "ai.snn_compile"
"""Domain of the functions."""

DOMAIN_VERSION = 1
"""Version of the domain; it counts up when the meaning of a function changes."""

OPSET = 17
"""Version of ONNX's own operators that the functions are made of."""

_TYPES = {
    "value_int": AttributeProto.INT,
    "value_float": AttributeProto.FLOAT,
    "value_floats": AttributeProto.FLOATS,
}


def functions(windows: int) -> list[onnx.FunctionProto]:
    """Return the functions for networks with that many windows.

    ONNX functions have no loops of their own, so the neuron's steps are written out.
    """
    return [
        _repeat_windows(),
        _fold_windows(),
        _average_windows(),
        _multi_threshold(windows),
    ]


class _Body:
    """Nodes of a function, each with one output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def add(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = to or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, numbers: list[int]) -> str:
        return self.add("Constant", value_ints=numbers)

    def attribute(self, name: str, kind: str) -> str:
        """Add a constant that is an attribute of the function."""
        output = self.add("Constant", to=name)
        reference = AttributeProto(name=kind, ref_attr_name=name, type=_TYPES[kind])
        self.nodes[-1].attribute.append(reference)
        return output

    def windows(self) -> str:
        """Add the number of windows as a vector of one element."""
        return self.add("Reshape", self.attribute("windows", "value_int"), self.constant([1]))

    def function(self, name: str, attributes: list[str]) -> onnx.FunctionProto:
        return helper.make_function(
            DOMAIN,
            name,
            ["x"],
            ["y"],
            self.nodes,
            [helper.make_opsetid("", OPSET)],
            attributes,
        )


def _repeat_windows() -> onnx.FunctionProto:
    body = _Body()
    rows = body.add("Unsqueeze", body.add("Flatten", "x", axis=1), body.constant([1]))
    one = body.constant([1])
    repeats = body.add("Concat", one, body.windows(), one, axis=0)
    tiled = body.add("Tile", rows, repeats)
    rest = body.add("Shape", "x", start=1)
    shape = body.add("Concat", body.constant([-1]), rest, axis=0)
    body.add("Reshape", tiled, shape, to="y")
    return body.function("RepeatWindows", ["windows"])


def _fold_windows() -> onnx.FunctionProto:
    body = _Body()
    count = body.windows()
    rest = body.add("Shape", "x", start=2)
    split = body.add("Concat", body.constant([-1]), count, rest, axis=0)
    checked = body.add("Reshape", "x", split)
    shape = body.add("Concat", body.constant([-1]), rest, axis=0)
    body.add("Reshape", checked, shape, to="y")
    return body.function("FoldWindows", ["windows"])


def _average_windows() -> onnx.FunctionProto:
    body = _Body()
    body.add("ReduceMean", _unfolded(body, body.windows()), to="y", axes=[1], keepdims=0)
    return body.function("AverageWindows", ["windows"])


def _multi_threshold(windows: int) -> onnx.FunctionProto:
    body = _Body()
    count = body.windows()
    levels = _as_float(body, body.attribute("levels", "value_int"))
    threshold = body.attribute("threshold", "value_float")
    retention = body.attribute("retention", "value_float")
    v = body.attribute("initial", "value_float")
    square = body.add("Concat", count, count, axis=0)
    mixing = body.add("Reshape", body.attribute("mixing", "value_floats"), square)
    current = body.add("MatMul", mixing, _unfolded(body, count))
    zero = body.add("Constant", value_float=0.0)
    sent = []
    for t in range(windows):
        a = body.add("Gather", current, body.add("Constant", value_int=t), axis=1)
        m = body.add("Add", body.add("Mul", v, retention), a)
        floor = body.add("Floor", body.add("Div", m, threshold))
        s = body.add("Clip", floor, zero, levels)
        y = body.add("Mul", s, threshold)
        v = body.add("Sub", m, y)
        sent.append(body.add("Unsqueeze", y, body.constant([1])))
    together = body.add("Concat", *sent, axis=1)
    body.add("Reshape", together, body.add("Shape", "x"), to="y")
    attributes = ["levels", "windows", "threshold", "mixing", "retention", "initial"]
    return body.function("MultiThreshold", attributes)


def _as_float(body: _Body, value: str) -> str:
    output = body.add("Cast", value)
    body.nodes[-1].attribute.append(helper.make_attribute("to", onnx.TensorProto.FLOAT))
    return output


def _unfolded(body: _Body, windows: str) -> str:
    """Add ``(N * windows, ...)`` as ``(N, windows, elements)``."""
    flat = body.add("Flatten", "x", axis=1)
    width = body.add("Shape", flat, start=1)
    shape = body.add("Concat", body.constant([-1]), windows, width, axis=0)
    return body.add("Reshape", flat, shape)
