r"""Write the windows of LM-HT neurons as channels, their memory and mixing folded into weights.

A trained neuron keeps :math:`\lambda` of its potential from window to window and mixes the
currents :math:`x(j) = W y(j) + b` of all windows with a matrix :math:`\Omega`. Unfolding its
recursion, with :math:`\Lambda_{ts} = \lambda^{t-s}` for :math:`s \le t` and 0 else,

.. math::
    m(t) = \sum_j (\Lambda \Omega)_{tj} \, x(j) + \lambda^t v(0)
           - \theta \sum_{s<t} \Lambda_{ts} \, n(s)

which needs no memory: :math:`T` copies of the neuron, copy :math:`t` reading copy :math:`j` of
the layer before through :math:`(\Lambda \Omega)_{tj} W` and taking :math:`\theta \Lambda_{ts}`
less for each spike of its own earlier copy :math:`s`. The copies are channels, window after
window, so a layer is again one layer, with blocks for pairs of windows. In units of the
threshold, and of what one spike of the layer before stands for (:math:`\theta_{in}`),

.. math::
    W'_{tj} = (\Lambda \Omega)_{tj} \, W \, \theta_{in} / \theta, \qquad
    b'_t = \sum_j (\Lambda \Omega)_{tj} \, b / \theta, \qquad
    v'_t = \lambda^t v(0) / \theta, \qquad \mathit{lateral}'_{ts} = \Lambda_{ts}

An input without windows is the same in all of them, so its block is the sum of the row. Outputs
are the mean over windows, so the last layer reads each with :math:`1 / T` of its weight; its
bias is added by the host.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.encoding import choose_encoding
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Input, Output, Rearrange
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.reference import encode
from toolchain.ir.snn import LmHt, MultiThreshold
from toolchain.rewriting import Context, compiler_pass

Floats: TypeAlias = npt.NDArray[np.float64]
Layer: TypeAlias = Dense | Conv


@dataclasses.dataclass(frozen=True)
class _Signal:
    """What travels behind a node: how many windows, and what a unit of it stands for."""

    windows: int
    unit: float


@compiler_pass("unroll-windows", phase=Phase.CONVERT, after=("merge-windows",))
def unroll_windows(graph: Graph, context: Context) -> Graph:
    """Replace every `LmHt` by a `MultiThreshold` with its windows as channels.

    Raises:
        ConversionError: Neurons differ in their number of windows, or there are no samples.
    """
    if not graph.of_type(LmHt):
        return graph
    if context.calibration is None:
        raise ConversionError(
            "there are no calibration samples to choose the input's steps from"
        )
    unrolled: dict[str, Node] = {}
    signals: dict[str, _Signal] = {}
    for node in graph:
        before = signals[node.inputs[0]] if node.inputs else _Signal(1, 1.0)
        if isinstance(node, Input):
            x = context.calibration.x
            encoding = choose_encoding(encode(node, x.reshape(len(x) * node.windows, -1)))
            before = _Signal(node.windows, encoding.scale)
            node = _unrolled_input(dataclasses.replace(node, encoding=encoding))
        elif isinstance(node, (Dense, Conv)):
            node = _unrolled_layer(graph, node, before)
        elif isinstance(node, LmHt):
            before = _Signal(node.windows, node.threshold)
            node = _neurons(graph, node)
        elif isinstance(node, Rearrange):
            node = _unrolled_order(graph, node, before.windows)
        elif isinstance(node, Output):
            node = _with_bias(graph, node)
        unrolled[node.name], signals[node.name] = node, before
    return graph.with_nodes(unrolled.values())


def _unrolled_layer(graph: Graph, layer: Layer, before: _Signal) -> Layer:
    """Return the layer with one block of weights for each pair of windows."""
    reader = graph.reader_of_sum(layer)
    if isinstance(reader, LmHt):
        is_static = before.windows == 1 and isinstance(graph.feeder(layer), Input)
        if before.windows != reader.windows and not is_static:
            raise ConversionError(
                f"reads {before.windows} windows and has {reader.windows}",
                node=reader.name,
                hint="train all layers with the same number of windows",
            )
        folded = folded_mixing(reader)
        blocks = folded if before.windows > 1 else folded.sum(axis=1, keepdims=True)
        blocks, bias_of = blocks / reader.threshold, folded.sum(axis=1) / reader.threshold
    else:
        blocks = np.full((1, before.windows), 1.0 / before.windows)
        bias_of = np.zeros(1)
    weight = _ungrouped(layer).astype(np.float64) * before.unit
    spread = np.einsum("tj,oi...->toji...", blocks, weight)
    rows, columns = len(blocks) * weight.shape[0], blocks.shape[1] * weight.shape[1]
    bias = np.broadcast_to(layer.bias, _bias_shape(graph, layer))
    weight = spread.reshape(rows, columns, *weight.shape[2:])
    bias = np.concatenate([share * bias for share in bias_of])
    if isinstance(layer, Conv):
        return dataclasses.replace(layer, weight=weight, bias=bias, groups=1)
    return dataclasses.replace(layer, weight=weight, bias=bias)


def folded_mixing(neurons: LmHt) -> Floats:
    """Return mixing with the memory folded in, ``(windows, windows)``."""
    return _memory(neurons) @ neurons.mixing.astype(np.float64)


def _memory(neurons: LmHt) -> Floats:
    """Return what is left in window t (row) of the potential of window s (column)."""
    age = np.subtract.outer(np.arange(neurons.windows), np.arange(neurons.windows))
    return np.where(age >= 0, float(neurons.retention) ** np.maximum(age, 0), 0.0)


def _neurons(graph: Graph, node: LmHt) -> MultiThreshold:
    shape, windows = graph.shapes[node.name], node.windows
    left = float(node.retention) ** np.arange(1, windows + 1) * node.initial / node.threshold
    per_channel = (-1, *(1 for _ in shape[1:]))
    earlier = np.tril(_memory(node), -1)
    return MultiThreshold(
        name=node.name,
        inputs=node.inputs,
        origin=node.origin,
        levels=node.levels,
        initial=np.repeat(left, shape[0]).reshape(per_channel),
        unit=np.asarray(node.threshold),
        windows=windows,
        lateral=np.repeat(earlier[:, :, None], shape[0], axis=2),
    )


def _unrolled_input(node: Input) -> Input:
    """Return the input with its windows as channels."""
    shape = (node.windows * node.shape[0], *node.shape[1:])
    source = node.source_shape if node.windows == 1 else (node.windows, *node.source_shape)
    order = node.order
    if order is not None:
        starts = order.size * np.arange(node.windows)[:, None]
        order = (starts + order.ravel()).reshape(shape)
    return dataclasses.replace(node, shape=shape, source_shape=source, order=order, windows=1)


def _unrolled_order(graph: Graph, node: Rearrange, windows: int) -> Rearrange:
    """Return the rearrangement of each window by itself."""
    shape = (windows * node.shape[0], *node.shape[1:])
    if node.order is None:
        return dataclasses.replace(node, shape=shape)
    size = int(np.prod(graph.shapes[node.inputs[0]]))
    starts = size * np.arange(windows)[:, None]
    order = np.where(node.order.ravel() < 0, -1, starts + node.order.ravel())
    return dataclasses.replace(node, shape=shape, order=order.reshape(shape))


def _with_bias(graph: Graph, node: Output) -> Output:
    bias = sum(np.asarray(layer.bias, np.float64) for layer in graph.layers_into(node))
    return dataclasses.replace(node, offset=node.offset + node.scale * bias)


def _bias_shape(graph: Graph, layer: Layer) -> tuple[int, ...]:
    """Return ``(C, 1, 1)``, ``(C, H, W)`` or ``(C,)``, whichever holds the bias."""
    shape = graph.shapes[layer.name]
    uniform = np.ndim(layer.bias) == 0 or np.shape(layer.bias)[1:] == (1,) * (len(shape) - 1)
    return (shape[0], *(1 for _ in shape[1:])) if uniform else shape


def _ungrouped(layer: Layer) -> Floats:
    """Return the weights of a convolution as one group."""
    if isinstance(layer, Dense) or layer.groups == 1:
        return layer.weight
    rows, per_group, *kernel = layer.weight.shape
    weight = np.zeros((rows, per_group * layer.groups, *kernel), layer.weight.dtype)
    share = rows // layer.groups
    for group in range(layer.groups):
        out = slice(group * share, (group + 1) * share)
        into = slice(group * per_group, (group + 1) * per_group)
        weight[out, into] = layer.weight[out]
    return weight
