"""Rectifiers, the activation that spiking neurons replace."""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import Relu
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._layout import inverse


@IMPORTERS.register("Relu")
@versions(6, 13, 14)
def import_relu(call: Call) -> Value:
    """Becomes spiking neurons; at the end of the network the host computes it."""
    return _relu(call)


@IMPORTERS.register("Clip")
@versions(6, 11, 12, 13)
def import_clip(call: Call) -> Value:
    """Becomes what `Relu` becomes.

    - `min` is 0 and `max` is absent, infinite or the largest float.
    """
    low, high = _bound(call, 1, "min", -np.inf), _bound(call, 2, "max", np.inf)
    largest = float(np.finfo(call.dtypes[0]).max) if call.dtypes[0].startswith("float") else 0.0
    call.require(
        low == 0 and high >= largest,
        f"limits its input to {low:g}..{high:g}; only 0 and no upper limit is supported",
        "train with Relu; the neurons saturate at their largest spike count anyway",
    )
    return _relu(call)


def _bound(call: Call, position: int, name: str, default: float) -> float:
    if call.version < 11:
        return call.number(name, default)
    return float(call.raw_constant(position).ravel()[0]) if call.has(position) else default


def _relu(call: Call) -> Value:
    value = call.value()
    order = None if value.order is None else inverse(value.order)
    node = call.emit(Relu, value.node, tensor=call.output, tensor_order=order)
    return value.moved_to(node)
