"""A prepared analogue network as an ONNX model, so that onnxruntime can run it fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Rearrange, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array, Node
from toolchain.ir.staircase import Staircase

_OPSET = 13
_IR_VERSION = 8


@dataclass(frozen=True, eq=False)
class Exported:
    """A network as an ONNX model that is given its weights in every run, and keeps no copy.

    Attributes:
        model: Serialized.
        weights: Inputs of the model beside those of the network, by name.
    """

    model: bytes
    weights: Mapping[str, Array]


def export_onnx(graph: Graph, outputs: Iterable[str]) -> Exported:
    """Return an ONNX model of ``graph`` that returns the values of ``outputs``.

    An input is ``(batch, *shape)`` in channel-first order, as `reference.encode` makes it, and
    every value is called as its node. Float32, opset 13.

    Args:
        graph: After `Phase.PREPARE`.
        outputs: Names of the nodes whose values the model returns.
    """
    model = _Builder(graph)
    for node in graph:
        if not isinstance(node, Output):
            _export(node, model)
    returned = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *graph.shapes[name]])
        for name in outputs
    ]
    entries = [
        helper.make_tensor_value_info(node.name, TensorProto.FLOAT, ["N", *node.shape])
        for node in graph.inputs
    ]
    entries += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, weight.shape)
        for name, weight in model.weights.items()
    ]
    body = helper.make_graph(model.nodes, "network", entries, returned, model.constants)
    made = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    return Exported(made.SerializeToString(), model.weights)


class _Builder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.weights: dict[str, Array] = {}

    def weight(self, node: Dense | Conv) -> str:
        name = f"{node.name}/weight"
        self.weights[name] = node.weight.astype(np.float32, copy=False)
        return name

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output


@singledispatch
def _export(node: Node, model: _Builder) -> None:
    raise NotImplementedError(node.kind)


@_export.register
def _(node: Input, model: _Builder) -> None:
    """The caller feeds it."""


@_export.register
def _(node: Dense, model: _Builder) -> None:
    bias = model.constant(f"{node.name}/bias", np.asarray(node.bias, np.float32))
    model.add("Gemm", [node.inputs[0], model.weight(node), bias], node.name, transB=1)


@_export.register
def _(node: Conv, model: _Builder) -> None:
    weight = model.weight(node)
    geometry = {
        "strides": list(node.stride),
        "dilations": list(node.dilation),
        "group": node.groups,
        "pads": _pads(node),
    }
    per_channel = np.shape(node.bias)[1:] in ((), (1, 1))
    if per_channel:
        bias = np.broadcast_to(np.asarray(node.bias, np.float32).ravel(), len(node.weight))
        names = [node.inputs[0], weight, model.constant(f"{node.name}/bias", bias)]
        model.add("Conv", names, node.name, **geometry)
    else:
        product = model.add("Conv", [node.inputs[0], weight], f"{node.name}/sum", **geometry)
        bias_name = model.constant(f"{node.name}/bias", node.bias.astype(np.float32))
        model.add("Add", [product, bias_name], node.name)


@_export.register
def _(node: MaxPool, model: _Builder) -> None:
    model.add(
        "MaxPool",
        list(node.inputs),
        node.name,
        kernel_shape=list(node.kernel),
        strides=list(node.stride),
        pads=_pads(node),
    )


@_export.register
def _(node: Add, model: _Builder) -> None:
    model.add("Sum", list(node.inputs), node.name)


@_export.register
def _(node: Relu, model: _Builder) -> None:
    if np.all(np.isinf(node.maximum)):
        model.add("Relu", list(node.inputs), node.name)
        return
    maximum = model.constant(f"{node.name}/max", np.array(node.maximum, np.float32))
    rectified = model.add("Relu", list(node.inputs), f"{node.name}/rectified")
    model.add("Min", [rectified, maximum], node.name)


@_export.register
def _(node: Staircase, model: _Builder) -> None:
    rounding = "Floor" if node.rounds_down else "Round"
    rounded = model.add(rounding, list(node.inputs), f"{node.name}/rounded")
    limits = [
        model.constant(f"{node.name}/{name}", np.array(value, np.float32))
        for name, value in (("low", node.low), ("high", node.high))
    ]
    model.add("Clip", [rounded, *limits], node.name)


@_export.register
def _(node: Rearrange, model: _Builder) -> None:
    flat = node.inputs[0]
    if node.order is not None:
        flat = _ordered(flat, node.order.ravel().astype(np.int64), node.name, model)
    shape = model.constant(f"{node.name}/shape", np.array([-1, *node.shape], np.int64))
    model.add("Reshape", [flat, shape], node.name)


def _ordered(source: str, order: Array, name: str, model: _Builder) -> str:
    """Export the choice of elements ``(-1, N)``; 0 where the order has -1."""
    as_row = model.constant(f"{name}/row", np.array([0, -1], np.int64))
    row = model.add("Reshape", [source, as_row], f"{name}/flat")
    chosen = model.constant(f"{name}/order", np.maximum(order, 0))
    ordered = model.add("Gather", [row, chosen], f"{name}/ordered", axis=1)
    if order.min() >= 0:
        return ordered
    kept = model.constant(f"{name}/kept", (order >= 0).astype(np.float32))
    return model.add("Mul", [ordered, kept], f"{name}/masked")


def _pads(node: Conv | MaxPool) -> list[int]:
    (top, bottom), (left, right) = node.padding
    return [top, left, bottom, right]
