r"""Compose sum-pools with the linear layers next to them.

A sum-pool is a convolution of each channel with ones. Followed by a convolution it is again one
convolution: with the pool's stride :math:`s_1`, padding :math:`p_1` and kernel :math:`K_1`, and
    the layer's :math:`s_2, p_2, d_2, K_2`,

.. math::
    y[o] = \sum_j K_2[j] \sum_i K_1[i] \; x[(o s_2 + j d_2 - p_2) s_1 + i - p_1]

so the kernel is the sum of copies of :math:`K_1` placed :math:`d_2 s_1` apart and weighted with
:math:`K_2`, the stride is :math:`s_1 s_2` and the padding :math:`p_2 s_1 + p_1`. That is exact
where no window of the pool that the layer's padding stands for reaches into the input. Before a
dense layer the pool spreads each column over its window, as long as that takes no more than
:math:`2^{22}` weights.

Behind a convolution the two change places: with its stride :math:`s_1` and kernel :math:`K_1`
the kernel is the sum of copies of :math:`K_1` placed :math:`s_1` apart, one for each position
in the window, exactly if the pool pads nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Conv, Dense, Rearrange, SumPool
from toolchain.ir.convolution import windows
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Shape
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_WEIGHTS_MAX = 2**22
"""Weights of a dense layer that has taken in a pool; above, the pool gets neurons."""


@compiler_pass("compose-sum-pool", phase=Phase.PREPARE, after=("compose-skip",))
def compose_sum_pool(graph: Graph, _: Context) -> Graph:
    """Remove every `SumPool` that a layer can take in.

    Others become layers of their own (`arrange-layers`).
    """
    return rewrite_each(graph, SumPool, _compose)


def _compose(graph: Graph, pool: SumPool) -> Graph:
    layer, user = graph.producer(pool), graph.only_user(pool.name)
    if isinstance(user, Conv):
        return _with_convolution_after(graph, pool, user)
    if isinstance(user, Rearrange) and user.order is None:
        dense = graph.only_user(user.name)
        size = int(np.prod(graph.shapes[pool.inputs[0]]))
        if isinstance(dense, Dense) and len(dense.weight) * size <= _WEIGHTS_MAX:
            return _with_dense_after(graph, pool, user, dense)
    if isinstance(layer, Conv) and graph.only_user(layer.name) is pool:
        return _with_convolution_before(graph, layer, pool)
    return graph


def _with_convolution_after(graph: Graph, pool: SumPool, layer: Conv) -> Graph:
    if not _is_exact(pool, layer, graph.shapes[pool.inputs[0]]):
        return graph
    composed = _into_convolution(pool, layer)
    composed = dataclasses.replace(composed, origin=pool.origin + layer.origin)
    return graph.swap(composed).bypass(pool.name)


def _with_dense_after(graph: Graph, pool: SumPool, flat: Rearrange, dense: Dense) -> Graph:
    shape = graph.shapes[pool.inputs[0]]
    weight = _spread(dense.weight, pool, shape, graph.shapes[pool.name])
    composed = dataclasses.replace(dense, weight=weight, origin=pool.origin + dense.origin)
    wider = dataclasses.replace(flat, shape=(int(np.prod(shape)),))
    return graph.swap(wider, composed).bypass(pool.name)


def _with_convolution_before(graph: Graph, layer: Conv, pool: SumPool) -> Graph:
    if any(any(side) for side in pool.padding):
        return graph
    reach = tuple(d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel, strict=True))
    rows, columns = (
        step * (k - 1) + r for step, k, r in zip(layer.stride, pool.kernel, reach, strict=True)
    )
    weight = np.zeros((*layer.weight.shape[:2], rows, columns), layer.weight.dtype)
    for i in range(pool.kernel[0]):
        for j in range(pool.kernel[1]):
            top, left = i * layer.stride[0], j * layer.stride[1]
            down, right = layer.dilation
            weight[:, :, top : top + reach[0] : down, left : left + reach[1] : right] += (
                layer.weight
            )
    bias = np.broadcast_to(layer.bias, graph.shapes[layer.name])[None]
    summed = windows(bias, pool.kernel, pool.stride).sum(axis=(4, 5))[0]
    corner = summed[:, :1, :1]
    composed = dataclasses.replace(
        layer,
        weight=weight,
        bias=corner if bool(np.all(summed == corner)) else summed,
        stride=(layer.stride[0] * pool.stride[0], layer.stride[1] * pool.stride[1]),
        dilation=(1, 1),
        origin=layer.origin + pool.origin,
    )
    return graph.swap(composed).bypass(pool.name)


def _is_exact(pool: SumPool, layer: Conv, shape: Shape) -> bool:
    for axis in (0, 1):
        size, stride, reach = shape[axis + 1], pool.stride[axis], pool.kernel[axis]
        (before, after), (pads_low, pads_high) = pool.padding[axis], layer.padding[axis]
        count = (size + before + after - reach) // stride + 1
        if pads_low and reach - 1 - stride - before >= 0:
            return False
        if pads_high and count * stride - before < size:
            return False
    return True


def _into_convolution(pool: SumPool, layer: Conv) -> Conv:
    spacing = tuple(d * s for d, s in zip(layer.dilation, pool.stride, strict=True))
    rows, columns = (
        step * (k - 1) + window
        for step, k, window in zip(spacing, layer.kernel, pool.kernel, strict=True)
    )
    weight = np.zeros((*layer.weight.shape[:2], rows, columns), layer.weight.dtype)
    for i in range(layer.kernel[0]):
        for j in range(layer.kernel[1]):
            top, left = i * spacing[0], j * spacing[1]
            weight[:, :, top : top + pool.kernel[0], left : left + pool.kernel[1]] += (
                layer.weight[:, :, i, j][:, :, None, None]
            )
    (top_pads, bottom_pads), (left_pads, right_pads) = (
        tuple(
            outer * step + inner
            for outer, inner in zip(layer.padding[axis], pool.padding[axis], strict=True)
        )
        for axis, step in enumerate(pool.stride)
    )
    return dataclasses.replace(
        layer,
        weight=weight,
        stride=(layer.stride[0] * pool.stride[0], layer.stride[1] * pool.stride[1]),
        padding=((top_pads, bottom_pads), (left_pads, right_pads)),
        dilation=(1, 1),
    )


def _spread(weight: Array, pool: SumPool, shape: Shape, pooled: Shape) -> Array:
    """Return ``(out, prod(shape))`` weights for ``(out, prod(pooled))`` ones behind a pool."""
    (top, bottom), (left, right) = pool.padding
    channels, height, width = shape
    padded = np.zeros((len(weight), channels, height + top + bottom, width + left + right))
    columns = weight.reshape(len(weight), *pooled)
    for i in range(pool.kernel[0]):
        for j in range(pool.kernel[1]):
            rows = slice(i, i + pool.stride[0] * pooled[1], pool.stride[0])
            across = slice(j, j + pool.stride[1] * pooled[2], pool.stride[1])
            padded[:, :, rows, across] += columns
    inner = padded[:, :, top : top + height, left : left + width]
    return inner.reshape(len(weight), -1).astype(weight.dtype)
