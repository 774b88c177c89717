"""How many multiply-accumulates an ONNX node takes for one sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx

from toolchain.frontend.constants import Resolved
from toolchain.ir.node import Shape

Count: TypeAlias = Callable[[onnx.NodeProto, Shape, Shape, Shape], int]
"""Of a node and the shapes of its first two inputs and its first output, batch included."""


def count_multiply_accumulates(node: onnx.NodeProto, known: Resolved) -> int | None:
    """Return those of one sample; `None` where shapes are not known.

    Args:
        node: One that depends on the sample.
        known: Of the values around it.
    """
    if node.op_type not in _COUNTS:
        return 0
    outputs = [name for name in node.output if name]
    shapes = [known.shape(name) for name in (*node.input[:2], *outputs[:1])]
    if len(shapes) < 3:
        return None
    first, second, made = shapes
    if first is None or second is None or made is None:
        return None
    try:
        return _COUNTS[node.op_type](node, first, second, made)
    except IndexError:  # ONNX also infers shapes of nodes that no runtime can run
        return None


def _of_conv(_: onnx.NodeProto, first: Shape, weight: Shape, made: Shape) -> int:
    return math.prod(made) * math.prod(weight[1:])


def _of_conv_transpose(_: onnx.NodeProto, first: Shape, weight: Shape, made: Shape) -> int:
    return math.prod(first) * math.prod(weight[1:])


def _of_gemm(node: onnx.NodeProto, first: Shape, second: Shape, made: Shape) -> int:
    is_turned = any(held.name == "transA" and held.i for held in node.attribute)
    return math.prod(made) * first[0 if is_turned else 1]


def _of_matmul(_: onnx.NodeProto, first: Shape, second: Shape, made: Shape) -> int:
    return math.prod(made) * first[-1]


def _of_recurrent(_: onnx.NodeProto, first: Shape, weight: Shape, made: Shape) -> int:
    """Return those of all gates in all steps; what they keep is as long as ``made``."""
    return math.prod(first[:2]) * math.prod(weight[:2]) * (weight[2] + made[-1])


_COUNTS: Mapping[str, Count] = {
    "Conv": _of_conv,
    "ConvTranspose": _of_conv_transpose,
    "GRU": _of_recurrent,
    "Gemm": _of_gemm,
    "LSTM": _of_recurrent,
    "MatMul": _of_matmul,
    "RNN": _of_recurrent,
}
