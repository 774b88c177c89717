"""Valid ONNX models of every kind that people bring, each small and drawn from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import onnx

from toolchain.fuzzing.unusual_networks import (
    batched,
    hosted,
    pooled,
    resized,
    several_ends,
    smooth_convolutional,
    smooth_perceptron,
)
from toolchain.fuzzing.writer import Writer
from toolchain.onnx_functions import DOMAIN, DOMAIN_VERSION, functions

_QONNX = "qonnx.custom_op.general"


def perceptron(writer: Writer) -> onnx.ModelProto:
    """Dense layers in a row."""
    size = writer.between(2, 8)
    x = writer.input(size)
    for _ in range(writer.between(1, 3)):
        width = writer.between(2, 10)
        x = writer.activation(writer.dense(x, size, width), width)
        if writer.between(0, 5) == 0:
            x = writer.node(writer.random.choice(("Dropout", "Identity")), x)
        size = width
    return writer.model(writer.head(writer.dense(x, size, writer.between(1, 5))))


def convolutional(writer: Writer) -> onnx.ModelProto:
    """Convolutions with pools, normalizations and a dense layer behind."""
    channels, side = writer.between(1, 3), writer.random.choice((4, 6, 8))
    x = writer.input(channels, side, side)
    if writer.between(0, 2) == 0:
        x = writer.node("Mul", x, writer.scalar(1 / 255))
    for _ in range(writer.between(1, 2)):
        width = writer.between(2, 6)
        if writer.between(0, 3) == 0:
            x = writer.node("Pad", x, writer.whole(0, 0, 1, 0, 0, 0, 0, 1))
            size: dict[str, Any] = {"pads": [1, 0, 1, 2], "kernel_shape": [4, 4]}
            x = writer.node("Conv", x, writer.weight(width, channels, 4, 4), **size)
        else:
            x = writer.convolution(x, channels, width)
        if writer.between(0, 1):
            x = writer.normalized(x, width)
        x, channels = writer.activation(x, width), width
        if side % 2 == 0 and writer.between(0, 2):
            kind = writer.random.choice(("MaxPool", "AveragePool"))
            x = writer.node(kind, x, kernel_shape=[2, 2], strides=[2, 2])
            side //= 2
    if writer.between(0, 1):
        return writer.model(writer.head(writer.dense(writer.averaged(x), channels, 3)))
    size_ = channels * side * side
    return writer.model(writer.head(writer.dense(writer.flat(x, size_), size_, 3)))


def channels_last(writer: Writer) -> onnx.ModelProto:
    """What Keras exports: images with their channels last, and transposes around layers."""
    channels, side = writer.between(1, 3), writer.between(4, 6)
    x = writer.node("Transpose", writer.input(side, side, channels), perm=[0, 3, 1, 2])
    x = writer.node("Conv", x, writer.weight(4, channels, 3, 3), auto_pad="SAME_UPPER")
    if writer.between(0, 1):
        x = writer.node("Transpose", x, perm=[0, 2, 3, 1])
        x = writer.activation(writer.node("Add", x, writer.weight(4)))
        x = writer.node("Reshape", x, writer.whole(-1, side * side * 4))
        return writer.model(writer.dense(x, side * side * 4, 3))
    x = writer.node("MaxPool", writer.node("Relu", x), kernel_shape=[side, side])
    return writer.model(writer.dense(writer.flat(x, 4), 4, 3))


def audio(writer: Writer) -> onnx.ModelProto:
    """Convolutions along one axis."""
    length = writer.random.choice((8, 12))
    x = writer.convolution(writer.input(1, length), 1, 4, axes=1)
    x = writer.node("Relu", writer.normalized(x, 4))
    x = writer.node("MaxPool", x, kernel_shape=[2], strides=[2])
    x = writer.node("Relu", writer.convolution(x, 4, 3, axes=1))
    size = 3 * length // 2
    return writer.model(writer.dense(writer.flat(x, size), size, 2))


def residual(writer: Writer) -> onnx.ModelProto:
    """Blocks with a connection around them, the activation before or behind the sum."""
    channels, side = writer.between(2, 4), 4
    x = writer.activation(writer.convolution(writer.input(1, side, side), 1, channels))
    for _ in range(writer.between(1, 2)):
        inner, around = x, x
        if writer.between(0, 2) == 0:
            inner = writer.node("Relu", writer.normalized(x, channels))
        inner = writer.activation(writer.convolution(inner, channels, channels), channels)
        inner = writer.convolution(inner, channels, channels)
        if writer.between(0, 2) == 0:
            around = writer.normalized(writer.convolution(x, channels, channels), channels)
        x = writer.node("Add", *writer.random.sample((inner, around), 2))
        if writer.between(0, 3):
            x = writer.activation(x, channels)
    return writer.model(writer.head(writer.dense(writer.averaged(x), channels, 3)))


def inverted(writer: Writer) -> onnx.ModelProto:
    """A MobileNet's block: expanded, one convolution per channel, a linear bottleneck."""
    x = writer.activation(writer.convolution(writer.input(2, 4, 4), 2, 4))
    wide = writer.node("Relu", writer.convolution(x, 4, 8))
    wide = writer.activation(writer.convolution(wide, 8, 8, group=8), 8)
    narrow = writer.normalized(writer.convolution(wide, 8, 4), 4)
    x = writer.node("Add", x, narrow) if writer.between(0, 1) else narrow
    x = writer.node("Relu", writer.convolution(x, 4, 6))
    return writer.model(writer.dense(writer.averaged(x), 6, 3))


def u_shaped(writer: Writer) -> onnx.ModelProto:
    """Down and up again, with what was before joined to what comes back."""
    x = writer.node("Relu", writer.convolution(writer.input(1, 4, 4), 1, 3))
    low = writer.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    low = writer.node("Relu", writer.convolution(low, 3, 3))
    if writer.between(0, 1):
        weight = writer.weight(3, 3, 2, 2)
        up = writer.node("ConvTranspose", low, weight, strides=[2, 2], kernel_shape=[2, 2])
    else:
        scales = writer.constant(np.array([1, 1, 2, 2], np.float32))
        region = writer.constant(np.zeros(0, np.float32)) if writer.opset == 11 else ""
        up = writer.node(
            "Resize", low, region, scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
    joined = writer.node("Concat", x, up, axis=1)
    x = writer.activation(writer.convolution(joined, 6, 2))
    return writer.model(writer.convolution(x, 2, 1))


def parted(writer: Writer) -> onnx.ModelProto:
    """Channels split, shuffled or sliced, each part with its own way, and joined."""
    x = writer.node("Relu", writer.convolution(writer.input(2, 4, 4), 2, 4))
    if writer.between(0, 1):
        given: dict[str, Any] = {"split": [2, 2]} if writer.opset < _SPLIT_IS_INPUT else {}
        sizes = [writer.whole(2, 2)] if not given else []
        left, right = writer.split("Split", x, *sizes, outputs=2, axis=1, **given)
    else:
        left, right = (
            writer.node("Slice", x, *(writer.whole(n) for n in (low, low + 2, 1)))
            for low in (0, 2)
        )
    left = writer.activation(writer.convolution(left, 2, 2), 2)
    if writer.between(0, 1):
        right = writer.node("Relu", writer.convolution(right, 2, 2))
    x = writer.node("Concat", left, right, axis=1)
    if writer.between(0, 1):
        x = writer.node("Reshape", x, writer.whole(-1, 2, 2, 4, 4))
        x = writer.node("Transpose", x, perm=[0, 2, 1, 3, 4])
        x = writer.node("Reshape", x, writer.whole(-1, 4, 4, 4))
    x = writer.node("Relu", writer.convolution(x, 4, 3))
    return writer.model(writer.dense(writer.flat(x, 48), 48, 3))


_SPLIT_IS_INPUT = 13


def attention(writer: Writer) -> onnx.ModelProto:
    """What a transformer has: products of two values, layer normalizations, softmax inside."""
    x = writer.input(3, 4)
    query, key, value = (writer.node("MatMul", x, writer.weight(4, 4)) for _ in range(3))
    turned = writer.node("Transpose", key, perm=[0, 2, 1])
    scores = writer.node("Softmax", writer.node("MatMul", query, turned), axis=2)
    x = writer.node("Add", x, writer.node("MatMul", scores, value))
    if writer.opset >= _LAYER_NORMALIZATION:
        x = writer.node("LayerNormalization", x, writer.positive(4), writer.weight(4), axis=-1)
    return writer.model(writer.dense(writer.node("Flatten", x), 12, 2))


_LAYER_NORMALIZATION = 17


def recurrent(writer: Writer) -> onnx.ModelProto:
    """An LSTM or a GRU over a short sequence."""
    kind, gates = writer.random.choice((("LSTM", 4), ("GRU", 3)))
    x = writer.node("Transpose", writer.input(3, 2), perm=[1, 0, 2])
    shapes = ((1, gates * 2, 2), (1, gates * 2, 2), (1, gates * 4))
    outputs = writer.split(
        kind, x, *(writer.weight(*shape) for shape in shapes), outputs=2, hidden_size=2
    )
    last = writer.node("Reshape", outputs[1], writer.whole(-1, 2))
    return writer.model(writer.dense(last, 2, 2))


def quantized(writer: Writer) -> onnx.ModelProto:
    """Weights and activations between QuantizeLinear and DequantizeLinear."""
    x = _quantized(writer, writer.input(4), unsigned=False)
    sizes = [4, writer.between(2, 6), 3]
    for inputs, outputs in itertools.pairwise(sizes):
        integers = writer.numbers.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        scale = writer.scalar(2.0 ** -writer.between(5, 8))
        zero = writer.constant(np.array(0, np.int8))
        weight = writer.node("DequantizeLinear", writer.constant(integers), scale, zero)
        x = writer.node("Gemm", x, weight, writer.weight(outputs), transB=1)
        if outputs != 3:
            x = _quantized(writer, writer.node("Relu", x), unsigned=True)
    return writer.model(x)


def _quantized(writer: Writer, x: str, *, unsigned: bool) -> str:
    scale = 2.0 ** -writer.between(3, 6) if writer.between(0, 1) else 0.037
    zero = np.array(0, np.uint8 if unsigned else np.int8)
    parameters = [writer.scalar(scale), writer.constant(zero)]
    whole = writer.node("QuantizeLinear", x, *parameters)
    return writer.node("DequantizeLinear", whole, *parameters)


def qonnx(writer: Writer) -> onnx.ModelProto:
    """QONNX: quantizers as nodes of a domain of their own."""
    writer.domains[_QONNX] = 1

    def quant(x: str, bits: float, signed: int) -> str:
        numbers = [writer.scalar(n) for n in (0.125, 0.0, bits)]
        mode = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
        return writer.node("Quant", x, *numbers, domain=_QONNX, **mode)

    x = quant(writer.input(4), 8.0, 1)
    kind = writer.random.choice(("Quant", "BipolarQuant", "MultiThreshold"))
    if kind == "BipolarQuant":
        signs = writer.node(kind, writer.weight(4, 5), writer.scalar(0.5), domain=_QONNX)
        x = writer.node("MatMul", x, signs)
    else:
        x = writer.node("MatMul", x, quant(writer.weight(4, 5), 4.0, 1))
    if kind == "MultiThreshold":
        steps = 0.25 * np.arange(1, 4) + writer.numbers.normal(size=(5, 1))
        limits = writer.constant(steps.astype(np.float32))
        x = writer.node(kind, x, limits, domain=_QONNX, data_layout="NC", out_scale=0.5)
    else:
        x = quant(writer.node("Relu", x), 4.0, 0)
    return writer.model(writer.dense(x, 5, 2))


def integer_operators(writer: Writer) -> onnx.ModelProto:
    """Operators on integers, as onnxruntime has them: a convolution or a matrix."""
    zero = writer.constant(np.array(0, np.uint8))
    signed_zero = writer.constant(np.array(0, np.int8))
    scale, weight_scale = writer.scalar(2.0**-4), writer.scalar(2.0**-7)
    is_image = bool(writer.between(0, 1))
    x = writer.input(*((1, 4, 4) if is_image else (6,)))
    x = writer.node("QuantizeLinear", x, scale, zero)
    shape = (3, 1, 3, 3) if is_image else (6, 3)
    integers = writer.constant(writer.numbers.integers(-99, 99, shape).astype(np.int8))
    parts = [x, scale, zero, integers, weight_scale, signed_zero, scale, zero]
    x = writer.node("QLinearConv" if is_image else "QLinearMatMul", *parts)
    x = writer.node("DequantizeLinear", x, scale, zero)
    if is_image:
        x = writer.flat(x, 12)
    return writer.model(writer.dense(x, 12 if is_image else 3, 2))


def windows(writer: Writer) -> onnx.ModelProto:
    """Trained multi-threshold neurons over several windows, as functions of our domain."""
    writer.opset, count = 17, writer.between(1, 3)
    writer.domains[DOMAIN] = DOMAIN_VERSION
    writer.functions.extend(functions(count))
    is_image = bool(writer.between(0, 1))
    shape = (2, 4, 4) if is_image else (5,)
    if writer.between(0, 1):
        x = writer.node("RepeatWindows", writer.input(*shape), domain=DOMAIN, windows=count)
    else:
        x = writer.input(count, *shape)
        x = writer.node("FoldWindows", x, domain=DOMAIN, windows=count)
    size = 5
    if is_image:
        x = _neurons(writer, writer.convolution(x, 2, 3), count)
        if writer.between(0, 1):
            x = writer.node("AveragePool", x, kernel_shape=[4, 4])
            size = 3
        else:
            size = 48
        x = writer.node("Flatten", x)
    x = _neurons(writer, writer.dense(x, size, 4), count)
    x = writer.dense(x, 4, 3)
    return writer.model(writer.node("AverageWindows", x, domain=DOMAIN, windows=count))


def _neurons(writer: Writer, x: str, count: int) -> str:
    mixing = np.full((count, count), 1 / count)
    if writer.between(0, 1):
        mixing = np.tril(writer.numbers.uniform(0.2, 1.0, (count, count)))
    threshold = writer.random.uniform(0.3, 1.5)
    return writer.node(
        "MultiThreshold", x, domain=DOMAIN, windows=count, levels=writer.between(1, 4),
        threshold=threshold, mixing=[float(m) for m in mixing.ravel()],
        retention=writer.random.choice((1.0, 0.75)), initial=threshold / 2,
    )  # fmt: skip


NETWORKS: Sequence[Callable[[Writer], onnx.ModelProto]] = (
    perceptron,
    convolutional,
    channels_last,
    audio,
    residual,
    inverted,
    u_shaped,
    parted,
    several_ends,
    attention,
    recurrent,
    quantized,
    qonnx,
    integer_operators,
    windows,
    batched,
    hosted,
    pooled,
    resized,
    smooth_convolutional,
    smooth_perceptron,
)
"""All kinds of networks."""


def draw_network(random: Random) -> onnx.ModelProto:
    """Return a valid model of any kind."""
    return random.choice(NETWORKS)(Writer(random))
