"""Valid ONNX models with several ends, smooth activations, resized planes and odd batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from toolchain.fuzzing.spellings import smooth
from toolchain.fuzzing.writer import Writer

_ROI_IS_OPTIONAL, _HAS_AXES = 13, 18
_WAYS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def several_ends(writer: Writer) -> onnx.ModelProto:
    """Up to three inputs, and up to three outputs all over the network."""
    x = writer.node("Relu", writer.dense(writer.input(4), 4, 5))
    ends = [x]
    size = 5
    for _ in range(writer.between(0, 2)):
        kind = writer.random.choice(("added", "joined", "image"))
        if kind == "image":
            plane = writer.node("Relu", writer.convolution(writer.input(1, 3, 3), 1, 2))
            other, width = writer.flat(plane, 18), 18
        else:
            other, width = writer.node("Relu", writer.dense(writer.input(3), 3, 5)), 5
        if kind == "added" and size == width:
            x = writer.node("Add", x, other)
        else:
            x, size = writer.node("Concat", x, other, axis=1), size + width
        x, size = writer.activation(writer.dense(x, size, 5)), 5
        ends.append(x)
    heads = [writer.head(writer.dense(x, 5, 2)) for _ in range(writer.between(1, 2))]
    return writer.model(*heads, *writer.random.sample(ends, writer.between(0, len(ends))))


def smooth_perceptron(writer: Writer) -> onnx.ModelProto:
    """Dense layers with smooth activations."""
    size = writer.between(2, 5)
    x = writer.input(size)
    for _ in range(writer.between(1, 2)):
        width = writer.between(2, 5)
        x, size = smooth(writer, writer.dense(x, size, width)), width
    return writer.model(writer.head(writer.dense(x, size, 3)))


def smooth_convolutional(writer: Writer) -> onnx.ModelProto:
    """Convolutions with smooth activations, pools before or behind them, and a sum."""
    x = writer.convolution(writer.input(1, 4, 4), 1, 2)
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    kind = writer.random.choice((None, "MaxPool", "AveragePool"))
    if kind is not None and writer.between(0, 1):
        x, kind = writer.node(kind, x, **pool), None
    x = smooth(writer, x)
    if kind is not None:
        x = writer.node(kind, x, **pool)
    inner = smooth(writer, writer.convolution(x, 2, 2))
    x = writer.node("Add", x, inner) if writer.between(0, 1) else inner
    x = smooth(writer, writer.convolution(x, 2, 3))
    return writer.model(writer.dense(writer.averaged(x), 3, 2))


def resized(writer: Writer) -> onnx.ModelProto:
    """Planes that grow and shrink, in every mode."""
    x = writer.convolution(writer.input(1, 4, 5), 1, 2)
    if writer.between(0, 3):
        x = writer.activation(x)
    mode = writer.random.choice(("nearest", "linear", "cubic"))
    given: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": writer.random.choice(_WAYS),
    }
    if mode == "nearest":
        given["nearest_mode"] = writer.random.choice(_ROUNDINGS)
    if mode == "cubic" and writer.between(0, 1):
        given["cubic_coeff_a"] = -0.5
    axes = [0, 1, 2, 3]
    if writer.opset >= _HAS_AXES and writer.between(0, 1):
        axes = given["axes"] = [2, 3]
    region = "" if writer.opset >= _ROI_IS_OPTIONAL else writer.constant(_NONE)
    if writer.between(0, 1):
        factors = [writer.random.choice((0.5, 1.0, 1.5, 2.0, 3.0)) for _ in range(2)]
        scales = writer.constant(np.array([1.0, 1.0, *factors], np.float32)[axes])
        y = writer.node("Resize", x, region, scales, **given)
    else:
        sizes = np.array([1, 2, writer.between(2, 9), writer.between(2, 9)])[axes]
        scales = writer.constant(_NONE) if writer.opset < _ROI_IS_OPTIONAL else ""
        y = writer.node("Resize", x, region, scales, writer.constant(sizes), **given)
    y = writer.node("Relu", writer.convolution(y, 2, 2))
    return writer.model(writer.dense(writer.averaged(y), 2, 2))


_NONE = np.zeros(0, np.float32)


def pooled(writer: Writer) -> onnx.ModelProto:
    """Max-pools of values of both signs, padded, dilated, overlapping and rounded up."""
    x = writer.convolution(writer.input(1, 6, 5), 1, 2)
    if writer.between(0, 2) == 0:
        x = writer.normalized(x, 2)
    pool: dict[str, Any] = {
        "kernel_shape": [writer.between(2, 3), writer.between(2, 3)],
        "strides": [writer.between(1, 2), writer.between(1, 3)],
        "pads": [writer.between(0, 1) for _ in range(4)],
        "ceil_mode": writer.between(0, 1),
    }
    if writer.between(0, 9) == 0:
        pool["dilations"] = [1, 2]
    if writer.between(0, 3) == 0:
        del pool["pads"]
        pool["auto_pad"] = writer.random.choice(("SAME_UPPER", "SAME_LOWER"))
    x = writer.node("MaxPool", x, **pool)
    if writer.between(0, 1):
        x = writer.activation(x)
    x = writer.node("Relu", writer.convolution(x, 2, 2))
    return writer.model(writer.dense(writer.averaged(x), 2, 2))


def batched(writer: Writer) -> onnx.ModelProto:
    """Samples as rows of one matrix, among one another, or of a fixed number."""
    x = writer.node("Relu", writer.node("MatMul", writer.input(2, 3), writer.weight(3, 3)))
    kind = writer.random.choice(("rows", "first", "turned", "mean", "flat", "many"))
    if kind == "rows":
        x = writer.node("Reshape", x, writer.whole(-1, 3))
        x = writer.node("Relu", writer.dense(x, 3, 4))
        x = writer.node("Reshape", x, writer.whole(-1, 2, 4))
    elif kind == "first":
        x = writer.node("Gather", x, writer.whole(0), axis=0)
    elif kind == "turned":
        x = writer.node("Transpose", x, perm=writer.random.sample(range(3), 3))
    elif kind == "mean" and writer.opset < _HAS_AXES:
        x = writer.node("ReduceMean", x, axes=[writer.between(0, 2)], keepdims=1)
    elif kind == "flat":
        x = writer.node("Reshape", x, writer.whole(1, -1))
    else:
        writer.inputs[0].type.tensor_type.shape.dim[0].dim_value = 3
    return writer.model(writer.node("Add", writer.node("Flatten", x), writer.scalar(0.5)))


def hosted(writer: Writer) -> onnx.ModelProto:
    """What no spikes compute between layers: a normalization, a gate, a product."""
    x = writer.node("Relu", writer.convolution(writer.input(1, 4, 4), 1, 2))
    kind = writer.random.choice(("LRN", "InstanceNormalization", "gate", "square", "Softmax"))
    if kind == "LRN":
        x = writer.node(kind, x, size=3)
    elif kind == "InstanceNormalization":
        x = writer.node(kind, x, writer.positive(2), writer.weight(2))
    elif kind == "gate":
        mean = writer.node("GlobalAveragePool", x)
        x = writer.node("Mul", x, writer.node("Sigmoid", writer.convolution(mean, 2, 2)))
    else:
        x = writer.node("Mul", x, x) if kind == "square" else writer.node(kind, x, axis=1)
    x = writer.node("Relu", writer.convolution(x, 2, 2))
    return writer.model(writer.head(writer.dense(writer.flat(x, 32), 32, 3)))
