"""Where branches of a network meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toolchain.ir.ann import Affine, Concat
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import added, aligned, layout


@IMPORTERS.register("Sum")
@versions(6, 8, 13)
def import_sum(call: Call) -> Value:
    """Becomes a sum: synapses of several layers into the same neurons.

    - No operand is a constant.
    """
    return added(call, [call.value(position) for position in range(len(call.inputs))])


@IMPORTERS.register("Mean")
@versions(6, 8, 13)
def import_mean(call: Call) -> Value:
    """Becomes a sum and a scale.

    - No operand is a constant.
    """
    values = [call.value(position) for position in range(len(call.inputs))]
    if len(values) == 1:
        return call.pass_on(values[0])
    total = added(call, values, suffix="sum")
    scale = np.array(1 / len(values))
    return total.moved_to(call.emit(Affine, total.node, scale=scale))


@IMPORTERS.register("Concat")
@versions(4, 11, 13)
def import_concat(call: Call) -> Value:
    """Is distributed over what follows: each layer reads its share of every part.

    - Over any axis of the sample; over another than the channels relay neurons turn values.
    - No operand is a constant.
    """
    values = [call.value(position) for position in range(len(call.inputs))]
    rank = len(values[0].shape)
    axis = call.integer("axis", 1)
    axis = axis - 1 if axis > 0 else axis + rank
    call.require(
        0 <= axis < rank and all(len(value.shape) == rank for value in values),
        f"has axis={call.integer('axis', 1)}; axes of the sample are supported",
        "rearrange within the sample only",
    )
    if len(values) == 1:
        return call.pass_on(values[0])
    axes = layout(call, values)
    if axes is None and all(size == 1 for size in call.output_shape[:axis]):
        nodes, _ = aligned(call, values)
        return Value(call.emit(Concat, *nodes), call.output_shape)
    if axes is not None and axes[2 * axis if rank == 2 else axis] == 0:
        nodes, _ = aligned(call, values)
        return call.view(call.emit(Concat, *nodes), axes, call.output_shape)
    return _joined(call, values, axis)


def _joined(call: Call, values: Sequence[Value], axis: int) -> Value:
    """Return values joined along any axis, each turned so that it becomes the channels."""
    shape = call.output_shape
    order = (axis, *(other for other in range(len(shape)) if other != axis))
    turned = [value.transposed(order) for value in values]
    nodes = [call.plain(v, (v.shape[0], 1, math.prod(v.shape[1:]))) for v in turned]
    joined = Value(call.emit(Concat, *nodes), tuple(shape[i] for i in order))
    return joined.transposed(tuple(int(i) for i in np.argsort(order)))
