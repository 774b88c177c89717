"""What the host computes from the network's outputs."""

from __future__ import annotations

import math

from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._switch import switch


@IMPORTERS.register("Softmax")
@versions(1, 11, 13)
def import_softmax(call: Call) -> Value:
    """Is computed by the host.

    - At the end of the network.
    - Over one axis of the sample, or over all of them.
    """
    return call.on_host(call.host_value(), "softmax", axis=_softmax_axis(call))


@IMPORTERS.register("LogSoftmax")
@versions(1, 11, 13)
def import_log_softmax(call: Call) -> Value:
    """Is computed by the host.

    - At the end of the network.
    - Over one axis of the sample, or over all of them.
    """
    return call.on_host(call.host_value(), "log-softmax", axis=_softmax_axis(call))


@IMPORTERS.register("ArgMax")
@versions(1, 11, 12, 13)
def import_arg_max(call: Call) -> Value:
    """Is computed by the host.

    - At the end of the network.
    - Over one axis of the sample; `select_last_index` is 0.
    """
    call.require(
        call.integer("select_last_index", 0) == 0,
        "has select_last_index=1; only 0 is supported",
    )
    value = call.host_value()
    axis = call.integer("axis", 0) % (len(value.shape) + 1)
    _refuse_batch_axis(call, axis)
    keep = switch(call, "keepdims", default=True)
    return call.on_host(value, "argmax", axis=axis - 1, keep_axis=keep)


def _softmax_axis(call: Call) -> int | None:
    """Return the axis without the batch axis, `None` for all of the sample together.

    Before version 13 the axes from ``axis`` on are taken together.
    """
    shape = call.host_value().shape
    axis = call.integer("axis", -1 if call.version >= 13 else 1) % (len(shape) + 1)
    _refuse_batch_axis(call, axis)
    axis -= 1
    if call.version >= 13 or axis == len(shape) - 1:
        return axis
    call.require(
        math.prod(shape[:axis]) == 1,
        f"takes axes {axis + 1} to {len(shape)} together, and axes 1 to {axis} apart; one axis "
        "or all are supported",
        "export the model with opset 13 or newer",
    )
    return None


def _refuse_batch_axis(call: Call, axis: int) -> None:
    call.require(
        axis != 0,
        "has axis=0, the batch axis; only axes of the sample are supported",
        "use axis=1",
    )
