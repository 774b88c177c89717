"""Models in the spelling of each exporter: the same from onnxruntime down to single spikes.

Written as PyTorch 2.13 (both of its exporters) and tf2onnx write them: the same nodes in the
same order, with the same attributes, constants and detours.
"""

from __future__ import annotations

import numpy as np
import pytest

# PyTorch, torch.onnx.export(..., dynamo=False), opset 17.


class Traced:
    """Adds what tracing leaves behind: constants as nodes, shapes computed at run time."""

    def __init__(self, write):
        self.write = write

    def constant(self, array):
        import onnx

        value = onnx.numpy_helper.from_array(np.asarray(array))
        return self.write.node("Constant", value=value)

    def conv(self, x, outputs, kernel=3, stride=1):
        pads = [kernel // 2] * 4
        return self.write.conv(
            x, outputs, kernel, dilations=[1, 1], pads=pads, strides=[stride] * 2
        )

    def relu6(self, x):
        low, high = self.constant(np.float32(0)), self.constant(np.float32(6))
        return self.write.node("Clip", x, low, high)

    def size(self, x, axis):
        return self.write.node(
            "Gather", self.write.node("Shape", x), self.constant(axis), axis=0
        )

    def viewed(self, x, *sizes):
        """``x.view(...)`` of sizes that are numbers or values computed before."""
        write, axes = self.write, []
        for size in sizes:
            if isinstance(size, str):
                axes.append(write.node("Unsqueeze", size, self.constant(np.array([0]))))
            else:
                axes.append(self.constant(np.array([size])))
        shape = write.node("Concat", *axes, axis=0)
        return write.node("Reshape", x, shape, allowzero=0, channels=write.sizes[x])

    def halves(self, x):
        """``x.chunk(2, dim=1)``: bounds from the shape, by integer division."""
        write, one = self.write, self.constant(np.array([1]))
        channels = write.node("Gather", write.node("Shape", x), one, axis=0)
        total = write.node("Add", channels, self.constant(np.array([1])))
        half = write.node("Div", total, self.constant(np.array([2])))
        start, middle, end = (
            self.constant(np.array([0])),
            *(write.node("Mul", half, self.constant(np.array([n]))) for n in (1, 2)),
        )
        size = write.sizes[x] // 2
        return (
            write.node("Slice", x, start, middle, one, channels=size),
            write.node("Slice", x, middle, end, one, channels=size),
        )


def traced(write):
    """ReLU6, residual blocks, chunk and cat, a shuffle, interpolate, a flattening view."""
    torch = Traced(write)
    bias = write.uniform(-0.1, 0.1, 8)
    copies = [write.node("Identity", bias, channels=8) for _ in range(2)]  # of equal parameters
    x = torch.relu6(torch.conv(write.input(3, 8, 8), 8))
    inner = torch.conv(write.relu(torch.conv(x, 8, stride=2)), 8)
    weight = write.weight(8, 8, 1, 1)
    around = write.node("Conv", x, weight, copies[0], kernel_shape=[1, 1], strides=[2, 2])
    x = write.relu(write.node("Add", inner, around))
    weight = write.weight(8, 8, 1, 1)
    inner = write.relu(write.node("Conv", x, weight, copies[1], kernel_shape=[1, 1]))
    x = write.relu(write.node("Add", torch.conv(inner, 8), x))
    left, right = torch.halves(x)
    x = write.concat(left, write.relu(torch.conv(right, 4)))
    batch, channels, height, width = (torch.size(x, axis) for axis in range(4))
    half = write.node("Div", channels, torch.constant(2))
    half = write.node("Cast", write.node("Cast", half, to=7), to=7)
    x = torch.viewed(x, batch, 2, half, height, width)
    x = write.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = torch.viewed(x, batch, -1, height, width)
    factors = torch.constant(np.array([1, 1, 2, 2], np.float32))
    x = write.node(
        "Resize", x, "", factors, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric", cubic_coeff_a=-0.75,
    )  # fmt: skip
    x = write.pool(write.relu(torch.conv(x, 4)), 4, 4, ceil_mode=0, dilations=[1, 1])
    x = torch.viewed(x, torch.size(x, 0), -1)
    return write.node(
        "Gemm", x, write.weight(5, 16), write.uniform(0, 1, 5), alpha=1.0, beta=1.0, transB=1
    )


# PyTorch, torch.onnx.export(..., dynamo=True), opset 20.

LONG = {"auto_pad": "NOTSET", "dilations": [1, 1]}


def captured(write):
    """The same kinds of layers: all constants are initializers, shapes are known."""
    pads = {"pads": [1, 1, 1, 1], **LONG}
    x = write.conv(write.input(3, 8, 8), 8, strides=[1, 1], **pads)
    x = write.node("Clip", x, write.scalar(0), write.scalar(6))
    inner = write.relu(write.conv(x, 8, bias=False, strides=[2, 2], **pads))
    inner = write.conv(inner, 8, bias=False, strides=[1, 1], **pads)
    around = write.conv(x, 8, 1, bias=False, strides=[2, 2], pads=[0, 0, 0, 0], **LONG)
    x = write.relu(write.node("Add", inner, around))
    left, right = write.node("Split", x, outputs=2, axis=1, num_outputs=2, channels=4)
    x = write.concat(left, write.relu(write.conv(right, 4, strides=[1, 1], **pads)))
    x = write.node("Reshape", x, write.constant(-1, 2, 4, 4, 4), allowzero=1)
    x = write.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = write.node("Reshape", x, write.constant(-1, 8, 4, 4), allowzero=1, channels=8)
    x = write.node(
        "Resize", x, "", write.constant(1, 1, 2, 2, dtype=np.float32), mode="nearest",
        nearest_mode="floor", coordinate_transformation_mode="asymmetric", antialias=0,
        exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch",
    )  # fmt: skip
    x = write.pool(
        write.relu(write.conv(x, 6, strides=[1, 1], **pads)), storage_order=0, **LONG
    )
    x = write.node("ReduceMean", x, write.constant(-1, -2), keepdims=1, noop_with_empty_axes=0)
    x = write.node("Reshape", x, write.constant(-1, 6), allowzero=1)
    bias = write.uniform(0, 1, 5)
    return write.node(
        "Gemm", x, write.weight(5, 6), bias, alpha=1.0, beta=1.0, transA=0, transB=1
    )


# Keras by tf2onnx: channels last, transposed around what needs them first.


def turned(write, x):
    return write.node("Transpose", x, perm=[0, 3, 1, 2])


def back(write, x):
    return write.node("Transpose", x, perm=[0, 2, 3, 1])


def keras(write):
    """Transposed once at either end; normalizations as products and sums, dense as MatMul."""
    x = turned(write, write.input(8, 9, 2))
    write.sizes[x] = 2
    x = write.conv(x, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2], bias=False)
    x = write.node("Mul", x, write.uniform(0.8, 1.2, 1, 4, 1, 1))
    x = write.clip(write.node("Add", x, write.uniform(0, 0.2, 1, 4, 1, 1)), 0, 6)
    x = write.conv_norm_relu(x, 4, 3, group=4, auto_pad="SAME_UPPER")
    x = write.pool(x, 2, 2, auto_pad="VALID")
    x = write.node("Reshape", back(write, x), write.constant(-1, 16))
    x = write.node("MatMul", x, write.weight(16, 8, fan_in=16))
    x = write.relu(write.node("Add", x, write.uniform(-0.1, 0.1, 8)))
    x = write.node("MatMul", x, write.weight(8, 3, fan_in=8))
    return write.node("Softmax", write.node("Add", x, write.uniform(-0.1, 0.1, 3)), axis=-1)


def keras_as_it_was(write):
    """Not optimized: transposed around each operator, residual sums with channels last."""

    def around(x, outputs, **given):
        x = turned(write, x)
        write.sizes[x] = given.pop("inputs")
        made = back(write, write.conv(x, outputs, bias=False, auto_pad="SAME_UPPER", **given))
        return write.node("Add", made, write.uniform(-0.1, 0.1, outputs))

    x = write.relu(around(write.input(8, 8, 2), 4, inputs=2))
    inner = write.relu(around(x, 4, inputs=4, strides=[2, 2]))
    inner = around(inner, 4, inputs=4)
    x = write.relu(write.node("Add", inner, around(x, 4, kernel=1, inputs=4, strides=[2, 2])))
    x = write.node("Concat", x, write.relu(around(x, 2, inputs=4)), axis=3)
    x = back(write, write.pool(turned(write, x), 3, 2, auto_pad="SAME_UPPER"))
    x = write.mean(x, 1, 2)
    return write.node("MatMul", x, write.weight(6, 3, fan_in=6))


WRITTEN = {
    "TorchScript": (traced, 17),
    "dynamo": (captured, 20),
    "tf2onnx": (keras, 13),
    "tf2onnx, not optimized": (keras_as_it_was, 15),
    "tf2onnx, old": (keras, 9),
}


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@pytest.mark.parametrize("exporter", WRITTEN)
def test_an_export_is_the_same_at_every_stage(exporter, lowering, write, conform):
    network, opset = WRITTEN[exporter]
    written = write(opset)

    conform(written.model(network(written)), lowering=lowering)
