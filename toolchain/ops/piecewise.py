"""Activations of several straight pieces, exactly: rectifiers with scales and shifts."""

from __future__ import annotations

import numpy as np

from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._rectifiers import moved, rectified, two_slopes


@IMPORTERS.register("LeakyRelu")
@versions(6, 16)
def import_leaky_relu(call: Call) -> Value:
    """Becomes two populations of neurons, one for positive and one for negative values."""
    return two_slopes(call, np.array(call.number("alpha", 0.01)))


@IMPORTERS.register("PRelu")
@versions(7, 9, 16)
def import_prelu(call: Call) -> Value:
    """Becomes two populations of neurons, one for positive and one for negative values.

    - `slope` is a constant that broadcasts to the input.
    """
    return two_slopes(call, call.constant(1))


@IMPORTERS.register("Abs")
@versions(6, 13)
def import_abs(call: Call) -> Value:
    """Becomes two populations of neurons, one for positive and one for negative values."""
    return two_slopes(call, np.array(-1.0))


@IMPORTERS.register("HardSigmoid")
@versions(6, 22)
def import_hard_sigmoid(call: Call) -> Value:
    """Becomes neurons that saturate at 1, behind a scale and a shift.

    - `alpha` is above 0.
    """
    alpha, beta = call.number("alpha", 0.2), call.number("beta", 0.5)
    call.require(alpha > 0, f"has alpha={alpha:g}; it must be above 0")
    line = moved(call, call.value(), scale=alpha, shift=beta, suffix="line")
    return rectified(call, line, maximum=1.0)
