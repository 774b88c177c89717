r"""Batch normalization with the statistics of training.

.. math::
    y = \gamma \frac{x - \mu}{\sqrt{\mathrm{var} + \epsilon}} + \beta
"""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import Affine
from toolchain.ir.node import Array
from toolchain.ops import IMPORTERS, Call, Value, versions


@IMPORTERS.register("BatchNormalization")
@versions(7, 9, 14, 15)
def import_batch_normalization(call: Call) -> Value:
    """Becomes a scale and a shift per channel, which are merged into the layer before or after.

    - In inference, with constant statistics: `training_mode` is 0, one output is used.
    - `spatial` of the oldest version is 1.
    """
    call.require(
        call.integer("training_mode", 0) == 0,
        "has training_mode=1; only 0 is supported",
        "put the model into evaluation mode before exporting it",
    )
    call.require(
        call.integer("spatial", 1) == 1,
        "has spatial=0; only 1, one statistic per channel, is supported",
    )
    call.number("momentum", 0.9)  # of training only
    value = call.value()
    gamma, beta, mean, variance = (
        call.constant(position).astype(np.float64) for position in (1, 2, 3, 4)
    )
    call.require(
        {gamma.shape, beta.shape, mean.shape, variance.shape} == {value.shape[:1]},
        f"has parameters of shape {gamma.shape}, {beta.shape}, {mean.shape} and "
        f"{variance.shape} for {value.shape[:1]} channels",
    )
    spread = variance + call.number("epsilon", 1e-5)
    call.require(bool((spread > 0).all()), "has a variance below 0")
    scale = gamma / np.sqrt(spread)
    node = call.emit(
        Affine,
        value.node,
        scale=call.beside(value, _per_channel(scale, value)),
        shift=call.beside(value, _per_channel(beta - mean * scale, value)),
    )
    return value.moved_to(node)


def _per_channel(array: Array, value: Value) -> Array:
    """Return ``(C,)`` as ``(1, C, 1, ...)``, as ONNX lays the value out."""
    return array.reshape(1, -1, *(1,) * (len(value.shape) - 1))
