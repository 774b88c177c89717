"""Architectures of image networks, in small, are the same from onnxruntime to single spikes."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import CapacityError

# Residual networks.


def residual_block(write, x, width, stride=1):
    """He et al. 2016: the activation behind the sum, a projection where the size changes."""
    inner = write.conv_norm_relu(x, width, strides=[stride] * 2)
    inner = write.norm(write.conv(inner, width, bias=False))
    around = x
    if stride > 1 or write.sizes[x] != width:
        around = write.norm(write.conv(x, width, 1, bias=False, strides=[stride] * 2))
    return write.relu(write.node("Add", inner, around))


def resnet(write, blocks):
    x = write.conv_norm_relu(write.input(3, 8, 8), 4)
    for stage, width in enumerate((4, 6, 8)):
        for block in range(blocks):
            x = residual_block(write, x, width, stride=2 if stage and not block else 1)
    return write.head(x)


def resnet_8(write):
    return resnet(write, 1)


def resnet_20(write):
    return resnet(write, 3)


def preactivated_resnet(write):
    """He et al. 2016b: normalization and activation come before the convolution."""
    x = write.conv(write.input(3, 8, 8), 4, bias=False)
    for width, stride in ((4, 1), (6, 2)):
        active = write.relu(write.norm(x))
        inner = write.conv_norm_relu(active, width, strides=[stride] * 2)
        inner = write.conv(inner, width, bias=False)
        if stride > 1:
            x = write.conv(active, width, 1, bias=False, strides=[stride] * 2)
        x = write.node("Add", inner, x)
    return write.head(write.relu(write.norm(x)))


def ms_resnet(write):
    """Hu et al. 2024: the stream is a sum of membrane potentials, without activation."""
    x = write.norm(write.conv(write.input(2, 8, 8), 4, bias=False))
    for _ in range(3):
        inner = write.norm(write.conv(write.relu(x), 4, bias=False))
        inner = write.norm(write.conv(write.relu(inner), 4, bias=False))
        x = write.node("Add", inner, x)
    return write.head(x)


# Networks for small devices.


def separable(write, x, width, stride=1):
    x = write.conv_norm_relu(x, write.sizes[x], group=write.sizes[x], strides=[stride] * 2)
    return write.conv_norm_relu(x, width, 1)


def mobilenet_v1(write):
    x = write.conv_norm_relu(write.input(3, 12, 12), 4, strides=[2, 2])
    return write.head(separable(write, separable(write, x, 6), 8, stride=2))


def mobilenet_v2(write):
    """Sandler et al. 2018: linear bottlenecks, ReLU6, and sums of what has no activation."""
    x = write.norm(write.conv(write.input(3, 8, 8), 4, bias=False))
    for width, stride in ((4, 1), (6, 2)):
        wide = 2 * write.sizes[x]
        inner = write.clip(write.norm(write.conv(x, wide, 1, bias=False)), 0, 6)
        inner = write.conv(inner, wide, group=wide, bias=False, strides=[stride] * 2)
        inner = write.clip(write.norm(inner), 0, 6)
        inner = write.norm(write.conv(inner, width, 1, bias=False))
        x = write.node("Add", x, inner) if stride == 1 else inner
    return write.head(write.clip(write.norm(write.conv(x, 10, 1, bias=False)), 0, 6))


def separable_with_uneven_padding(write):
    """What TensorFlow calls SAME: with a stride of 2, only the far edges are padded."""
    x = write.input(2, 9, 8)
    x = write.conv_norm_relu(x, 4, auto_pad="SAME_UPPER", strides=[2, 2])
    for strides in ([1, 1], [2, 2]):
        x = write.conv_norm_relu(x, 4, group=4, auto_pad="SAME_UPPER", strides=strides)
        x = write.conv_norm_relu(x, 6 if strides == [2, 2] else 4, 1, auto_pad="SAME_UPPER")
    return write.head(x)


def squeezenet(write):
    """Iandola et al. 2016: fire modules, and a convolution in place of a dense layer."""
    x = write.relu(write.conv(write.input(3, 12, 12), 6, strides=[2, 2]))
    x = write.pool(x, 3, 2, ceil_mode=1) if write.opset >= 10 else write.pool(x, 3, 2)
    for _ in range(2):
        narrow = write.relu(write.conv(x, 3, 1))
        parts = [write.relu(write.conv(narrow, 4, kernel)) for kernel in (1, 3)]
        x = write.concat(*parts)
    x = write.relu(write.conv(write.node("Dropout", x), 4, 1))
    return write.node("Softmax", write.node("Flatten", write.node("GlobalAveragePool", x)))


def shuffled(write, x, groups):
    """The shuffle as PyTorch exports it: seen with five axes, two of them exchanged."""
    channels = write.sizes[x]
    x = write.reshape(x, -1, groups, channels // groups, 4, 4)
    x = write.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    return write.reshape(x, -1, channels, 4, 4)


def shufflenet(write):
    """Zhang et al. 2018: convolutions in groups, channels shuffled between them."""
    x = write.conv_norm_relu(write.input(3, 8, 8), 8, strides=[2, 2])
    inner = shuffled(write, write.conv_norm_relu(x, 8, 1, group=2), 2)
    inner = write.norm(write.conv(inner, 8, group=8, bias=False))
    inner = write.norm(write.conv(inner, 8, 1, group=2, bias=False))
    return write.head(write.relu(write.node("Add", x, inner)))


def shufflenet_v2(write):
    """Ma et al. 2018: channels parted, one half untouched, joined and shuffled."""
    x = write.conv_norm_relu(write.input(3, 8, 8), 8, strides=[2, 2])
    if write.opset < 13:
        left, right = write.node("Split", x, outputs=2, axis=1, split=[4, 4], channels=4)
    else:
        sizes = write.constant(4, 4)
        left, right = write.node("Split", x, sizes, outputs=2, axis=1, channels=4)
    right = write.conv_norm_relu(right, 4, 1)
    right = write.norm(write.conv(right, 4, group=4, bias=False))
    right = write.conv_norm_relu(right, 4, 1)
    return write.head(shuffled(write, write.concat(left, right), 2))


# Networks of joined branches.


def inception(write):
    """Szegedy et al. 2015: four ways, one of them a pool with padding."""
    x = write.relu(write.conv(write.input(3, 8, 8), 6))
    single = write.relu(write.conv(x, 3, 1))
    middle = write.relu(write.conv(write.relu(write.conv(x, 2, 1)), 4, 3))
    large = write.relu(write.conv(write.relu(write.conv(x, 2, 1)), 2, 5))
    pooled = write.relu(write.conv(write.pool(x, 3, 1, pads=[1] * 4), 3, 1))
    return write.head(write.concat(single, middle, large, pooled))


def inception_with_averages(write):
    """The fourth way averages, and what is outside of the image does not count."""
    x = write.conv_norm_relu(write.input(2, 6, 6), 4)
    pooled = write.pool(x, 3, 1, "AveragePool", pads=[1] * 4)
    pooled = write.conv_norm_relu(pooled, 3, 1)
    return write.head(write.concat(write.conv_norm_relu(x, 3, 1), pooled))


def shufflenet_that_averages(write):
    """The first shufflenet where the size changes: an average joined, then rectified."""
    x = write.conv_norm_relu(write.input(3, 8, 8), 4)
    inner = write.norm(write.conv(x, 4, group=4, bias=False, strides=[2, 2]))
    inner = write.norm(write.conv(inner, 6, 1, bias=False))
    pooled = write.pool(x, 3, 2, "AveragePool", pads=[1] * 4)
    x = write.relu(write.concat(pooled, inner))
    inner = write.norm(write.conv(write.conv_norm_relu(x, 4, 1), 10, 1, bias=False))
    return write.head(write.relu(write.node("Add", x, inner)))


def densenet(write):
    """Huang et al. 2017: each layer normalizes and rectifies all that came before it."""
    x = write.conv(write.input(3, 8, 8), 4, bias=False)
    for _ in range(2):
        for _ in range(2):
            inner = write.conv(write.relu(write.norm(x)), 6, 1, bias=False)
            inner = write.conv(write.relu(write.norm(inner)), 3, bias=False)
            x = write.concat(x, inner)
        x = write.conv(write.relu(write.norm(x)), 5, 1, bias=False)
        x = write.pool(x, op="AveragePool")
    return write.head(write.relu(write.norm(x)))


def u_net(write):
    """Ronneberger et al. 2015: transposed convolutions on the way up."""
    top = write.conv_norm_relu(write.input(2, 8, 8), 4)
    low = write.conv_norm_relu(write.pool(top), 6)
    bottom = write.conv_norm_relu(write.pool(low), 8)
    for beside in (low, top):
        width = write.sizes[beside]
        weight = write.weight(write.sizes[bottom], width, 2, 2, fan_in=write.sizes[bottom])
        up = write.node("ConvTranspose", bottom, weight, channels=width, strides=[2, 2])
        bottom = write.conv_norm_relu(write.concat(beside, up), width)
    return write.conv(bottom, 2, 1)


def u_net_that_repeats(write):
    """The same with pixels repeated on the way up, and sums in place of joins."""
    top = write.conv_norm_relu(write.input(2, 8, 8), 4)
    low = write.conv_norm_relu(write.pool(top), 4)
    if write.opset < 10:
        factors = write.constant(1, 1, 2, 2, dtype=np.float32)
        up = write.node("Upsample", low, factors, mode="nearest")
    else:
        region = [write.constant(dtype=np.float32)] if write.opset == 11 else [""]
        region = region if write.opset > 10 else []
        factors = write.constant(1, 1, 2, 2, dtype=np.float32)
        asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        given = {"mode": "nearest", **(asymmetric if write.opset > 10 else {})}
        up = write.node("Resize", low, *region, factors, **given)
    return write.conv(write.relu(write.conv(write.node("Add", up, top), 4)), 2, 1)


def _between(write, x, factor, way="half_pixel"):
    """Enlarge by values between neighbours."""
    factors = write.constant(1, 1, factor, factor, dtype=np.float32)
    given = {"mode": "linear", "coordinate_transformation_mode": way}
    if write.opset == 11:
        return write.node("Resize", x, write.constant(dtype=np.float32), factors, **given)
    return write.node("Resize", x, "", factors, **given)


def u_net_between_pixels(write):
    """With bilinear enlargement of aligned corners, joined."""
    top = write.conv_norm_relu(write.input(2, 8, 8), 4)
    low = write.conv_norm_relu(write.pool(top), 4)
    up = _between(write, low, 2, "align_corners")
    return write.conv(write.conv_norm_relu(write.concat(top, up), 4), 2, 1)


def feature_pyramid(write):
    """Lin et al. 2017, with bilinear enlargement: sums of three scales, without activation."""
    fine = write.conv_norm_relu(write.input(2, 8, 8), 4)
    middle = write.conv_norm_relu(fine, 6, strides=[2, 2])
    coarse = write.conv_norm_relu(middle, 8, strides=[2, 2])
    x = write.conv(coarse, 4, 1)
    for lateral in (middle, fine):
        x = write.node("Add", write.conv(lateral, 4, 1), _between(write, x, 2))
    return write.conv(write.conv(x, 4), 3, 1)


def fully_convolutional(write):
    """Long et al. 2015: classes on a coarse plane, enlarged at the end."""
    x = write.pool(write.conv_norm_relu(write.input(2, 8, 8), 4))
    x = write.conv_norm_relu(x, 6, strides=[2, 2])
    return _between(write, write.conv(x, 3, 1), 4)


# Other activations and pools.


def leaky(write):
    """Pools behind it are of values that may be negative."""
    x = write.node("LeakyRelu", write.norm(write.conv(write.input(2, 8, 8), 4)), alpha=0.2)
    x = write.node("LeakyRelu", write.conv(write.pool(x), 6), alpha=0.1)
    x = write.pool(x, 3, 2, pads=[1, 1, 1, 1])
    return write.head(x)


def parametric(write):
    x = write.conv(write.input(2, 8, 8), 4)
    x = write.node("PRelu", x, write.uniform(0.0, 0.4, 4, 1, 1))
    x = write.node("PRelu", write.conv(x, 6, strides=[2, 2]), write.uniform(-0.2, 0.2, 6, 1, 1))
    return write.head(x)


def limited(write):
    """Stairs between two limits: HardSigmoid, and HardTanh as Clip."""
    x = write.node("HardSigmoid", write.conv(write.input(2, 8, 8), 4), alpha=0.25)
    x = write.clip(write.conv(x, 6, strides=[2, 2]), -1, 1)
    return write.head(x)


def uneven_pools(write):
    """Pools that overlap, with padding, and with windows that reach over the edge."""
    x = write.conv_norm_relu(write.input(2, 11, 10), 4)
    x = write.pool(x, 3, 2, pads=[1, 1, 1, 1])
    x = write.conv_norm_relu(x, 4)
    x = write.pool(x, 2, 2, ceil_mode=1)
    x = write.relu(write.conv(x, 4))
    x = write.pool(x, 2, 2, "AveragePool", pads=[0, 0, 1, 1], count_include_pad=1)
    return write.dense(write.node("Flatten", x), 16, 3)


def late_normalization(write):
    """Normalizations behind the activation and before padding, which they do not pass."""
    x = write.norm(write.relu(write.conv(write.input(2, 8, 8), 4)))
    x = write.norm(write.pool(write.relu(write.conv(x, 4))))
    return write.head(write.relu(write.conv(x, 4)))


def two_parts_in_groups(write):
    """Krizhevsky et al. 2012: convolutions in two groups, dense layers with dropout."""
    x = write.pool(write.relu(write.conv(write.input(3, 12, 12), 8, 5)), 3, 2)
    x = write.pool(write.relu(write.conv(x, 8, 3, group=2)), 3, 2)
    x = write.relu(write.dense(write.node("Flatten", x), 32, 16))
    return write.dense(write.node("Dropout", x), 16, 4)


NETWORKS = (
    resnet_8,
    resnet_20,
    preactivated_resnet,
    ms_resnet,
    mobilenet_v1,
    mobilenet_v2,
    separable_with_uneven_padding,
    squeezenet,
    shufflenet,
    shufflenet_v2,
    shufflenet_that_averages,
    inception,
    inception_with_averages,
    densenet,
    u_net,
    u_net_that_repeats,
    u_net_between_pixels,
    feature_pyramid,
    fully_convolutional,
    leaky,
    parametric,
    limited,
    uneven_pools,
    late_normalization,
    two_parts_in_groups,
)


WAITING = (preactivated_resnet, ms_resnet)
"""Networks whose stream begins with the input itself, which has to wait for what is added."""


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "radix"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_an_architecture_is_the_same_at_every_stage(network, lowering, write, conform):
    written = write()

    if lowering == "radix" and network in WAITING:
        with pytest.raises(CapacityError) as error:
            conform(written.model(network(written)), lowering=lowering)
        assert "--lowering temporal" in error.value.hint
    else:
        conform(written.model(network(written)), lowering=lowering)
