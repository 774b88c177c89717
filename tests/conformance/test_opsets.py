"""One network with what ONNX has spelled in different ways, in every version that runs here."""

from __future__ import annotations

import numpy as np
import pytest

OPSETS = (7, 9, 11, 13, 17, 20, 26)


def padded(write, x, *sides):
    if write.opset < 11:
        return write.node("Pad", x, pads=sides)
    return write.node("Pad", x, write.constant(*sides))


def network(write):
    """Return a network of which nearly every node has changed between versions."""
    x = padded(write, write.input(2, 8, 8), 0, 0, 0, 1, 0, 0, 1, 0)
    x = write.clip(write.norm(write.conv(x, 4)), 0, 6)
    x = write.pool(write.node("Dropout", x), 3, 2)
    sizes = [] if write.opset < 13 else [write.constant(2, 2)]
    given = {"split": [2, 2]} if write.opset < 13 else {}
    left, right = write.node("Split", x, *sizes, outputs=2, axis=1, channels=2, **given)
    right = sliced(write, write.relu(write.conv(right, 4)), 1, 3)
    x = write.concat(left, right)
    x = repeated(write, write.relu(write.conv(x, 4)))
    x = write.mean(write.relu(write.conv(x, 4, strides=[2, 2])), 2, 3, keepdims=1)
    x = squeezed(write, x, 2, 3)
    x = write.relu(write.dense(write.reshape(x, 0, -1), 4, 6))
    weight = write.weight(6, 3, fan_in=6)
    x = write.node("Add", write.node("MatMul", x, weight), write.uniform(-1, 1, 3))
    return write.node("Softmax", x, axis=1)


def sliced(write, x, low, high):
    if write.opset < 10:
        return write.node("Slice", x, axes=[1], starts=[low], ends=[high], channels=high - low)
    limits = [write.constant(number) for number in (low, high, 1)]
    return write.node("Slice", x, *limits, channels=high - low)


def repeated(write, x):
    factors = write.constant(1, 1, 2, 2, dtype=np.float32)
    if write.opset < 10:
        return (
            write.node("Upsample", x, factors, mode="nearest")
            if write.opset == 9
            else (write.node("Upsample", x, scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"))
        )
    region = [write.constant(dtype=np.float32)] if write.opset < 13 else [""]
    way = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return write.node("Resize", x, *region, factors, mode="nearest", **way)


def squeezed(write, x, *axes):
    if write.opset < 13:
        return write.node("Squeeze", x, axes=axes)
    return write.node("Squeeze", x, write.constant(*axes))


@pytest.mark.parametrize("opset", OPSETS)
def test_a_network_is_the_same_at_every_stage_in_every_version(opset, write, conform):
    written = write(opset)

    conform(written.model(network(written)))
