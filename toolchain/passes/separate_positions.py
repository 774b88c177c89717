r"""Say scales that differ from position to position with relays and shared kernels.

An average pool that leaves out its padding divides by 4 in the corners of the image, by 6 at
its edges and by 9 inside. A convolution has the same weights everywhere, so it cannot take such
a scale in. But positions that are scaled alike can be channels of their own: with :math:`x_k`
the values at the positions of class :math:`k`, and zeros elsewhere,

.. math:: s(p) \, x(p) = \sum_k s_k \, x_k(p),

which is a layer of one weight for each class, and the layer behind it takes that in, too. The
:math:`x_k` are relays of spikes. A scale above 0 passes a rectifier first, so that there are
spikes: :math:`\mathrm{relu}(s x) = s \, \mathrm{relu}(x)`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Affine, Conv, Rearrange, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import IndexArray
from toolchain.passes.compose_skip import into_convolution
from toolchain.passes.fold_affine import is_per_channel
from toolchain.rewriting import Context, compiler_pass, rewrite_each

_CLASSES_MAX = 16
"""Classes of positions; a 5 x 5 average has at most 9 at the edges of an image, and inside."""


@compiler_pass("separate-positions", phase=Phase.PREPARE, after=("split-signed",))
def separate_positions(graph: Graph, _: Context) -> Graph:
    """Replace every `Affine` that scales few classes of positions apart.

    Others are left for `verify` to name.
    """
    return rewrite_each(graph, Affine, _separate)


def _separate(graph: Graph, affine: Affine) -> Graph:
    shape, user = graph.shapes[affine.name], graph.only_user(affine.name)
    if len(shape) != 3 or is_per_channel(affine.scale):
        return graph
    if isinstance(user, Relu):
        is_plain = bool(np.all(np.isinf(user.maximum))) and not np.any(affine.shift)
        return graph.exchange(affine.name) if is_plain and np.all(affine.scale > 0) else graph
    scale = np.broadcast_to(affine.scale, shape).reshape(shape[0], -1)
    classes, kinds = np.unique(scale, axis=1, return_inverse=True)
    if classes.shape[1] > _CLASSES_MAX:
        return graph
    apart = _apart(graph, affine, kinds.ravel(), classes.shape[1])
    layer = Conv(
        name=affine.name,
        inputs=(apart.name,),
        origin=affine.origin,
        weight=classes[:, :, None, None],
        bias=affine.shift,
        groups=shape[0],
    )
    graph = graph.insert_before(affine.name, apart)
    if isinstance(user, Conv) and not np.any(affine.shift):
        composed = dataclasses.replace(
            into_convolution(user, layer),
            inputs=(apart.name,),
            origin=affine.origin + user.origin,
        )
        return graph.swap(composed).without(affine.name)
    return graph.swap(layer)


def _apart(graph: Graph, affine: Affine, kinds: IndexArray, count: int) -> Rearrange:
    """Return what gives each channel one for each class of positions.

    Args:
        graph: That the scale is in.
        affine: The scale.
        kinds: Class of each position, flat.
        count: Number of classes.
    """
    channels, height, width = graph.shapes[affine.name]
    order = np.arange(channels * kinds.size).reshape(channels, 1, kinds.size)
    is_in = kinds == np.arange(count)[None, :, None]
    return Rearrange(
        name=graph.unused(f"{affine.name}/positions"),
        inputs=affine.inputs,
        origin=affine.origin,
        shape=(channels * count, height, width),
        order=np.where(is_in, order, -1).ravel(),
    )
