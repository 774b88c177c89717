"""Networks along one axis: the same from onnxruntime down to single spikes."""

from __future__ import annotations

import pytest


def m5(write):
    """Dai et al. 2017: wide first windows, pools, an average over time, as PyTorch has it."""
    x = write.input(1, 96)
    x = write.conv_norm_relu(x, 4, 8, axes=1, strides=[4], pads=[0, 0])
    x = write.pool(x, 2, 2, axes=1)
    x = write.pool(write.conv_norm_relu(x, 6, 3, axes=1), 2, 2, axes=1)
    x = write.pool(x, 5, 5, "AveragePool", axes=1, count_include_pad=1)
    x = write.node("Transpose", x, perm=[0, 2, 1])
    x = write.node("MatMul", x, write.weight(6, 3, fan_in=6))
    x = write.node("Add", write.uniform(-1, 1, 3), x)
    return write.node("LogSoftmax", x, axis=2)


def m5_with_mean(write):
    """The same with a mean over time that keeps no axis."""
    x = write.conv_norm_relu(write.input(2, 64), 4, 9, axes=1, strides=[2])
    x = write.pool(x, 4, 4, axes=1)
    x = write.conv_norm_relu(x, 8, 3, axes=1)
    return write.dense(write.mean(x, 2), 8, 4)


def temporal_residual(write):
    """Bai et al. 2018: dilated convolutions padded on one side, and what goes around them."""
    x = write.conv_norm_relu(write.input(2, 24), 4, 3, axes=1)
    for dilation in (1, 2, 4):
        side = {"pads": [2 * dilation, 0], "dilations": [dilation]}
        inner = write.conv_norm_relu(x, 4, 3, axes=1, **side)
        inner = write.conv_norm_relu(inner, 4, 3, axes=1, **side)
        x = write.relu(write.node("Add", inner, x))
    return write.head(x)


def keyword_spotting(write):
    """Zhang et al. 2017: separable convolutions over time and frequency."""
    x = write.conv_norm_relu(write.input(1, 12, 10), 6, 4, strides=[2, 2], pads=[1, 1, 2, 1])
    for _ in range(2):
        x = write.conv_norm_relu(x, 6, 3, group=6)
        x = write.conv_norm_relu(x, 6, 1)
    x = write.pool(x, 5, 5, "AveragePool")
    return write.dense(write.node("Flatten", write.node("Dropout", x)), 6, 4)


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
@pytest.mark.parametrize(
    "network",
    [m5, m5_with_mean, temporal_residual, keyword_spotting],
    ids=lambda network: network.__name__,
)
def test_an_architecture_is_the_same_at_every_stage(network, lowering, write, conform):
    written = write()

    conform(written.model(network(written)), lowering=lowering)
