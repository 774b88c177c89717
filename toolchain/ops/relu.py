"""Rectifiers, the activation that spiking neurons replace."""

from __future__ import annotations

import math

import numpy as np

from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._rectifiers import at_least, at_most, moved, rectified
from toolchain.ops._steps import emit_staircase, holds_whole_numbers


@IMPORTERS.register("Relu")
@versions(6, 13, 14)
def import_relu(call: Call) -> Value:
    """Becomes spiking neurons; at the end of the network the host computes it."""
    return rectified(call)


@IMPORTERS.register("Clip")
@versions(6, 11, 12, 13)
def import_clip(call: Call) -> Value:
    """Becomes what `Relu` becomes; neurons that saturate at the upper limit.

    - `min` is below `max`.
    - Whole limits of whole numbers may be any: those of a quantizer.
    """
    low, high = _bound(call, 1, "min", -np.inf), _bound(call, 2, "max", np.inf)
    value = call.passed_value()
    is_on_host = call.builder.on_host(value) is not None
    if not is_on_host and holds_whole_numbers(call, value) and _is_whole(low, high):
        return value.moved_to(emit_staircase(call, value, low=low, high=high))
    largest = float(np.finfo(call.dtypes[0]).max) if call.dtypes[0].startswith("float") else 0.0
    if low == 0 and high >= largest:
        return rectified(call)
    call.require(
        low < high and low < largest and high > -largest,
        f"limits its input to {low:g}..{high:g}; a lower limit must be below the upper one",
        "train with Relu or ReLU6",
    )
    if high >= largest:
        has_none = low <= -largest
        return call.pass_on(value) if has_none else at_least(call, call.value(), np.array(low))
    if low <= -largest:
        return at_most(call, call.value(), np.array(high))
    if low == 0:
        return rectified(call, maximum=high)
    shifted = moved(call, call.value(), shift=-low, suffix="above")
    return moved(call, rectified(call, shifted, maximum=high - low, suffix="clip"), shift=low)


def _bound(call: Call, position: int, name: str, default: float) -> float:
    if call.version < 11:
        return call.number(name, default)
    return call.scalar(position) if call.has(position) else default


def _is_whole(*limits: float) -> bool:
    return all(math.isinf(limit) or limit == round(limit) for limit in limits)
