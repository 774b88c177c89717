r"""Say smooth activations with straight pieces, each a capped rectifier.

.. math::
    f(x) \approx c + \sum_k s_k \, \mathrm{clip}(d_k x - b_k, 0, w_k), \qquad d_k = \pm 1

(`toolchain.straight_pieces` has the fit). With :math:`x = W z + b` the rectifiers of a channel
are as many channels, with the rows :math:`d_k W` and :math:`d_k b - b_k`; a layer that reads
:math:`f(x)` with weights :math:`V` reads them with :math:`V s_k`. So a population stays one
population, and only its channels are more: channel :math:`c` becomes :math:`c K + k`, which
keeps groups together.

**Pools.** Pieces that all read :math:`x`, none :math:`-x`, never fall, so they change places
with a max-pool before the activation, :math:`\mathrm{clip}(\max_i x_i) = \max_i
\mathrm{clip}(x_i)`. Behind one they do where :math:`f` never falls: :math:`\max_i f(x_i) =
f(\max_i x_i)`. This is the one rewrite before calibration that changes what is computed, so it
waits until the others have nothing to do: the network before it is exact.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from toolchain.errors import ConversionError
from toolchain.ir.ann import Affine, Conv, Dense, MaxPool, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.rewriting import Context, compiler_pass
from toolchain.straight_pieces import Pieces, fit_pieces, never_falls

NAME = "approximate-smooth"
_LAYERS = (Dense, Conv)


@compiler_pass(NAME, phase=Phase.PREPARE, after=("compare-in-pool",))
def approximate_smooth(graph: Graph, context: Context) -> Graph:
    """Replace every `Smooth` that layers feed, directly or through a max-pool.

    Raises:
        ConversionError: A function does not become a line on both sides, or is a constant.
    """
    for node in graph.of_type(Smooth):
        if _layers_before(graph, node):
            graph = _replaced(graph, node, context.pieces)
    return graph


def _layers_before(graph: Graph, node: Smooth) -> tuple[Dense | Conv, ...]:
    """Return the layers whose sum the activation reads, if nothing else reads them."""
    reader: Node = graph.pooled_sum(node) or node
    layers, source = graph.layers_into(reader), graph.producer(reader)
    is_alone = graph.only_user(source.name) is reader and all(
        layer is source or graph.only_user(layer.name) is source for layer in layers
    )
    return layers if is_alone else ()


def _replaced(graph: Graph, node: Smooth, most: int) -> Graph:
    pieces = fit_pieces(node.curve, most)
    if pieces is None:
        raise ConversionError(
            f"computes {node.curve}, which does not become a line on both sides",
            node=node.origin[-1] if node.origin else node.name,
            hint="train with an activation that does, such as Relu, Tanh or Gelu",
        )
    if not pieces.pieces:
        raise ConversionError(
            f"computes {node.curve}, which is {pieces.constant:.4g} whatever it is given",
            node=node.origin[-1] if node.origin else node.name,
            hint="put the constant in its place",
        )
    before = graph.pooled_sum(node)
    behind = graph.only_user(node.name)
    if not isinstance(behind, MaxPool) or not never_falls(node.curve):
        behind = None
    rising = pieces.rising() if before is not None or behind is not None else None
    if before is not None and rising is None:
        raise ConversionError(
            f"computes {node.curve} of a max-pool, and it falls without end on the left",
            node=node.origin[-1] if node.origin else node.name,
            hint="put the max-pool behind the activation",
        )
    pieces = rising or pieces
    layers = _layers_before(graph, node)
    last = before or (behind if rising else None) or node
    shape = graph.shapes[node.name if last is before else last.name]
    stacked = [_stacked(layer, pieces, has_start=not i) for i, layer in enumerate(layers)]
    graph = graph.swap(*stacked, _rectifiers(graph, node, pieces))
    if before is not None:
        graph = graph.exchange(before.name)
    return _read_by_all(graph, graph[last.name], shape, pieces)


def _stacked(layer: Dense | Conv, pieces: Pieces, *, has_start: bool) -> Dense | Conv:
    """Return a layer with each output followed by one for every further piece."""
    directions = np.array([float(piece.direction) for piece in pieces.pieces])
    starts = np.array([piece.start if has_start else 0.0 for piece in pieces.pieces])
    bias = layer.bias_by_row
    weight, bias = _by_piece(layer.weight, directions), _by_piece(bias, directions)
    shift = np.tile(starts, len(layer.weight)).reshape(-1, *(1 for _ in bias.shape[1:]))
    return dataclasses.replace(layer, weight=weight, bias=bias - shift)


def _by_piece(rows: Array, factors: Array) -> Array:
    """Return each row times every factor, one after the other."""
    factors = factors.reshape(1, -1, *(1 for _ in rows.shape[1:]))
    return (rows[:, None] * factors).reshape(-1, *rows.shape[1:])


def _rectifiers(graph: Graph, node: Smooth, pieces: Pieces) -> Relu:
    channels, *rest = graph.shapes[node.name]
    widths = np.tile([piece.width for piece in pieces.pieces], channels)
    maximum = widths.reshape(-1, *(1 for _ in rest))
    return Relu(name=node.name, inputs=node.inputs, origin=node.origin, maximum=maximum)


def _read_by_all(graph: Graph, source: Node, shape: Shape, pieces: Pieces) -> Graph:
    """Let everything that read the activation, of ``shape``, read the sum of its pieces."""
    slopes = np.array([piece.slope for piece in pieces.pieces])
    for user in graph.users(source.name):
        dense = _flattened_for(graph, user)
        if isinstance(user, _LAYERS) and not pieces.constant:
            graph = graph.swap(_wider(user, slopes, 1))
        elif dense and isinstance(user, Rearrange) and not pieces.constant:
            size = len(slopes) * int(np.prod(user.shape))
            flat = dataclasses.replace(user, shape=(size,))
            positions = math.prod(shape[1:])
            graph = graph.swap(flat, *(_wider(layer, slopes, positions) for layer in dense))
        else:
            graph = _with_sum(graph, source, user, shape, slopes, pieces)
    return graph


def _flattened_for(graph: Graph, user: Node) -> list[Dense]:
    """Return the dense layers behind a plain flattening; none if something else reads it."""
    if not isinstance(user, Rearrange) or user.order is not None or len(user.shape) != 1:
        return []
    readers = graph.users(user.name)
    dense = [reader for reader in readers if isinstance(reader, Dense)]
    return dense if len(dense) == len(readers) else []


def _wider(layer: Node, slopes: Array, positions: int) -> Node:
    """Return a layer that reads every piece where it read their sum.

    Args:
        layer: The layer.
        slopes: Of the pieces.
        positions: Of a channel, one after the other, in what a dense layer reads.
    """
    if isinstance(layer, Dense):
        by_channel = layer.weight.reshape(len(layer.weight), -1, 1, positions)
        weight = (by_channel * slopes[:, None]).reshape(len(layer.weight), -1)
        return dataclasses.replace(layer, weight=weight)
    if isinstance(layer, Conv):
        out, columns, *kernel = layer.weight.shape
        weight = layer.weight[:, :, None] * slopes.reshape(-1, 1, 1)
        weight = weight.reshape(out, columns * len(slopes), *kernel)
        return dataclasses.replace(layer, weight=weight)
    raise TypeError(f"{layer.name} is no layer")


def _with_sum(
    graph: Graph,
    source: Node,
    user: Node,
    shape: tuple[int, ...],
    slopes: Array,
    pieces: Pieces,
) -> Graph:
    """Return the graph with a layer between ``source`` and ``user`` that adds the pieces up."""
    channels, name = shape[0], graph.unused(f"{source.name}/sum")
    total: Node
    if len(shape) == 1:
        weight = np.kron(np.eye(channels), slopes)
        total = Dense(name=name, weight=weight)
    else:
        weight = np.tile(slopes, channels).reshape(channels, len(slopes), 1, 1)
        total = Conv(name=name, weight=weight, groups=channels)
    total = dataclasses.replace(total, inputs=(source.name,), origin=source.origin)
    if not pieces.constant:
        return graph.insert_before(user.name, total).redirect(
            source.name, [user.name], total.name
        )
    shifted = Affine(
        name=graph.unused(f"{source.name}/constant"),
        inputs=(total.name,),
        origin=source.origin,
        shift=np.array(pieces.constant),
    )
    return graph.insert_before(user.name, total, shifted).redirect(
        source.name, [user.name], shifted.name
    )
