"""Networks with several inputs or outputs: the same from onnxruntime down to single spikes."""

from __future__ import annotations

import pytest


def two_heads(write):
    """A class and a place of it, from the same features."""
    x = write.conv_norm_relu(write.input(2, 8, 8), 4)
    x = write.node("Flatten", write.pool(write.conv_norm_relu(x, 6), 2))
    features = write.relu(write.dense(x, 96, 8))
    return write.node("Softmax", write.dense(features, 8, 4)), write.dense(features, 8, 4)


def pyramid(write):
    """Lin et al. 2017: heads with shared weights on maps of two sizes, the finer one merged."""
    fine = write.conv_norm_relu(write.input(2, 8, 8), 4)
    coarse = write.conv_norm_relu(fine, 6, strides=[2, 2])
    top = write.conv(coarse, 4, 1)
    scales = write.constant(1, 1, 2, 2, dtype="float32")
    enlarged = write.node("Resize", top, "", scales, mode="nearest")
    merged = write.node("Add", write.conv(fine, 4, 1), enlarged)
    weight, bias = write.weight(3, 4, 3, 3), write.uniform(-0.1, 0.1, 3)
    return tuple(
        write.node("Conv", level, weight, bias, channels=3, pads=[1, 1, 1, 1])
        for level in (write.relu(merged), write.relu(top))
    )


def autoencoder(write):
    """What an image becomes, and what is left of it on the way."""
    code = write.conv_norm_relu(write.input(2, 8, 8), 3, strides=[2, 2])
    weight = write.weight(3, 2, 2, 2, fan_in=12)
    return write.node("ConvTranspose", code, weight, channels=2, strides=[2, 2]), code


def image_and_numbers(write):
    """Features of an image, and numbers that come beside it."""
    image = write.conv_norm_relu(write.input(2, 6, 6, name="image"), 4, strides=[2, 2])
    numbers = write.relu(write.dense(write.input(5, name="numbers"), 5, 4))
    joined = write.node("Concat", write.node("Flatten", image), numbers, axis=1)
    return (write.dense(write.relu(write.dense(joined, 40, 8)), 8, 3),)


def siamese(write):
    """Two images through the same layers, and what differs between them."""
    weight, bias = write.weight(4, 1, 3, 3), write.uniform(-0.1, 0.1, 4)
    ends = [
        write.relu(write.node("Conv", x, weight, bias, channels=4, pads=[1, 1, 1, 1]))
        for x in (write.input(1, 6, 6, name="left"), write.input(1, 6, 6, name="right"))
    ]
    apart = write.node("Abs", write.node("Sub", *ends))
    return (write.head(apart, 2),)


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
@pytest.mark.parametrize(
    "network",
    [two_heads, pyramid, autoencoder, image_and_numbers, siamese],
    ids=lambda network: network.__name__,
)
def test_an_architecture_is_the_same_at_every_stage(network, lowering, write, conform):
    written = write()

    conform(written.model(*network(written)), lowering=lowering)
