"""Values that are whole numbers, and the staircases that make them."""

from __future__ import annotations

import math

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.staircase import Staircase
from toolchain.ops._call import Call
from toolchain.ops._layout import Value, inverse


def emit_staircase(
    call: Call,
    value: Value,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    rounds_down: bool = False,
    tensor_zero: int = 0,
) -> str:
    """Make a `Staircase` that reads ``value`` and return its name.

    Args:
        call: The node, whose output holds the steps.
        value: What is rounded, in steps.
        low: Smallest number of steps.
        high: Largest number of steps.
        rounds_down: Whether it rounds down instead of to the nearest.
        tensor_zero: What the node's output holds for 0 steps.
    """
    return call.emit(
        Staircase,
        value.node,
        low=low,
        high=high,
        rounds_down=rounds_down,
        tensor=call.output,
        tensor_zero=tensor_zero,
        tensor_order=None if value.order is None else inverse(value.order),
    )


def holds_whole_numbers(call: Call, value: Value) -> bool:
    """Tell whether a value of the network is whole for every sample: steps, or integers."""
    if "int" in call.dtypes[0]:
        return True
    node = call.builder[value.node]
    if isinstance(node, Affine):
        if np.any(node.scale != 1) or np.any(node.shift % 1):
            return False
        node = call.builder[node.inputs[0]]
    return isinstance(node, Staircase)
