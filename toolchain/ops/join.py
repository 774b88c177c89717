"""Where branches of a network meet."""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import Affine, Concat
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._branches import added, aligned


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

    - Over the channels, first or last in the layout; over the only axis of flat values.
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
    nodes, axes = aligned(call, values)
    if axes is None:
        call.require(
            all(size == 1 for size in call.output_shape[:axis]),
            f"joins axis {axis + 1} of values {values[0].shape}, which are rearranged",
            "concatenate the channels of (batch, C, H, W)",
        )
        return Value(call.emit(Concat, *nodes), call.output_shape)
    wide = 2 * axis if rank == 2 else axis
    call.require(
        axes[wide] == 0,
        f"joins axis {axis + 1}, which is not that of the channels",
        "concatenate channels, or flatten the values before",
    )
    return call.view(call.emit(Concat, *nodes), axes, call.output_shape)
