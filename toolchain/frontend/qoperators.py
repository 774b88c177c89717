"""Operators on integers, as onnxruntime's format ``QOperator`` has them: Q(f(DQ(x))).

Source: operators ``QLinear*`` of ONNX, and those of domain ``com.microsoft`` in
its contributed operators, onnxruntime 1.31.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx.helper

from toolchain.frontend.expansion import Expander, Expansion
from toolchain.ir.node import Array

MICROSOFT = "com.microsoft"


_OPSET = 10
"""First opset with `QuantizeLinear` and its kin."""

_OPSET_OF_AXES = 13
"""First opset in which those have an axis, and a scale for each of its places."""


def _dequantized(node: Expansion, position: int, suffix: str, axis: int | None = None) -> str:
    """Add what makes an input, its scale and its zero point real; return its output."""
    if node.opset < _OPSET:
        node.refuse(
            f"is in a model of opset {node.opset}; {_OPSET} is the first with integers",
            "quantize a model of opset 13 or newer",
        )
    inputs = [node.input(position), node.input(position + 1)]
    if node.has(position + 2):
        inputs.append(node.input(position + 2))
    if axis is None or node.opset >= _OPSET_OF_AXES:
        axes = () if axis is None else (onnx.helper.make_attribute("axis", axis),)
        return node.add("DequantizeLinear", *inputs, suffix=suffix, copied=axes)
    zero = node.array(position + 2) if node.has(position + 2) else np.zeros((), np.int8)
    zero = _along(node, zero.astype(np.float32), position, axis)
    integers = node.array(position).astype(np.float32)
    scale = _along(node, node.array(position + 1), position, axis)
    return node.constant(suffix, (integers - zero) * scale)


def _along(node: Expansion, numbers: Array, position: int, axis: int) -> Array:
    """Return numbers in the shape in which they go with an axis of a constant."""
    shape = node.array(position).shape
    if numbers.size not in (1, *shape[axis : axis + 1]):
        node.refuse(f"has {numbers.size} scales or zero points for weights of shape {shape}")
    return numbers.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _quantized(node: Expansion, value: str, position: int) -> None:
    """Add the `QuantizeLinear` that makes the output."""
    inputs = [value, node.input(position)]
    if node.has(position + 1):
        inputs.append(node.input(position + 1))
    node.add("QuantizeLinear", *inputs, suffix="quantized", to=node.output)


def _bias(node: Expansion, position: int, scales: tuple[int, int]) -> str:
    """Add what makes a bias of 32-bit integers real; its scale is that of the products."""
    first, second = (node.input(each) for each in scales)
    if node.opset < _OPSET_OF_AXES:
        integers = node.array(position).astype(np.float32)
        by_channel = _along(node, node.array(scales[1]), position, 0)
        return node.constant("bias", integers * by_channel * node.array(scales[0]).ravel()[0])
    scale = node.add("Mul", first, second, suffix="bias_scale")
    axis = (onnx.helper.make_attribute("axis", 0),)
    return node.add("DequantizeLinear", node.input(position), scale, suffix="bias", copied=axis)


def _conv(node: Expansion) -> None:
    inputs = [_dequantized(node, 0, "input"), _dequantized(node, 3, "weight", axis=0)]
    if node.has(8):
        inputs.append(_bias(node, 8, (1, 4)))
    _quantized(node, node.add("Conv", *inputs, copied=node.rest()), 6)


def _matmul(node: Expansion) -> None:
    inputs = [_dequantized(node, 0, "input"), _dequantized(node, 3, "weight", axis=1)]
    _quantized(node, node.add("MatMul", *inputs), 6)


def _gemm(node: Expansion) -> None:
    alpha = node.number("alpha", 1.0)
    if alpha != 1:
        node.refuse(f"has alpha={alpha:g}; 1 is supported")
    columns = 0 if node.integer("transB", 0) else 1
    inputs = [_dequantized(node, 0, "input"), _dequantized(node, 3, "weight", axis=columns)]
    if node.has(6):
        inputs.append(_bias(node, 6, (1, 4)))
    transposed = (
        onnx.helper.make_attribute("transA", node.integer("transA", 0)),
        onnx.helper.make_attribute("transB", 1 - columns),
    )
    if node.has(7):
        _quantized(node, node.add("Gemm", *inputs, copied=transposed), 7)
    else:
        node.add("Gemm", *inputs, copied=transposed, to=node.output)


def _of_two(op: str) -> Expander:
    def expand(node: Expansion) -> None:
        inputs = [_dequantized(node, 0, "first"), _dequantized(node, 3, "second")]
        _quantized(node, node.add(op, *inputs), 6)

    return expand


def _of_one(op: str) -> Expander:
    def expand(node: Expansion) -> None:
        if node.integer("channels_last", 0):
            node.refuse("has channels_last=1; only channels first are supported")
        value = _dequantized(node, 0, "input")
        _quantized(node, node.add(op, value, copied=node.rest()), 3)

    return expand


def _concat(node: Expansion) -> None:
    values = [
        _dequantized(node, position, f"input{position}")
        for position in range(2, len(node.node.input), 3)
    ]
    _quantized(node, node.add("Concat", *values, copied=node.rest()), 0)


def _softmax(node: Expansion) -> None:
    version = node.integer("opset", 13)
    if version < 13:
        node.refuse(
            f"has opset={version}; 13 and newer are supported",
            "quantize a model of opset 13 or newer",
        )
    value = _dequantized(node, 0, "input")
    _quantized(node, node.add("Softmax", value, copied=node.rest()), 3)


QOPERATORS: Mapping[tuple[str, str], Expander] = {
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _matmul,
    (MICROSOFT, "QGemm"): _gemm,
    (MICROSOFT, "QLinearAdd"): _of_two("Add"),
    (MICROSOFT, "QLinearAveragePool"): _of_one("AveragePool"),
    (MICROSOFT, "QLinearConcat"): _concat,
    (MICROSOFT, "QLinearGlobalAveragePool"): _of_one("GlobalAveragePool"),
    (MICROSOFT, "QLinearLeakyRelu"): _of_one("LeakyRelu"),
    (MICROSOFT, "QLinearSigmoid"): _of_one("Sigmoid"),
    (MICROSOFT, "QLinearSoftmax"): _softmax,
}
"""By domain and name."""
