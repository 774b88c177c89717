r"""Quantizers of QONNX, as Brevitas and FINN export them, in ONNX's own arithmetic.

``Quant`` is :math:`s \, (\mathrm{clip}(\mathrm{round}(x / s + z), l, h) - z)`, with limits by
its bit width; ``BipolarQuant`` is :math:`s` or :math:`-s`, by the sign; ``MultiThreshold``
counts the thresholds that are at or below a value.

Source: the custom operators of QONNX 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolchain.frontend.expansion import Expander, Expansion
from toolchain.ir.node import Array

_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_ROUNDINGS = {"ROUND": "Round", "HALF_EVEN": "Round", "FLOOR": "Floor", "CEIL": "Ceil"}
_BITS_MAX = 32
_EVEN = 1e-5


def _quant(node: Expansion) -> None:
    low, high = _limits(node)
    mode = node.text("rounding_mode", "ROUND").upper()
    if mode not in _ROUNDINGS:
        node.refuse(
            f"has rounding_mode={mode}; {', '.join(_ROUNDINGS)} are supported",
            "quantize with rounding_mode ROUND",
        )
    scale, zero = node.input(1), node.input(2)
    if np.any(node.array(1) <= 0):
        node.refuse(f"has a scale of {node.array(1).min():g}; it must be above 0")
    steps = node.add("Div", node.input(0), scale, suffix="steps")
    shifted = node.add("Add", steps, zero, suffix="zero")
    whole = node.add(_ROUNDINGS[mode], shifted)
    limited = node.add("Clip", whole, low, high, suffix="limits")
    back = node.add("Sub", limited, zero, suffix="from_zero")
    node.add("Mul", back, scale, suffix="scaled", to=node.output)


def _limits(node: Expansion) -> tuple[str, str]:
    """Add the least and the largest integer as constants and return their names."""
    bits = node.array(3).ravel()
    is_signed, is_narrow = bool(node.integer("signed", 1)), bool(node.integer("narrow", 0))
    if bits.size != 1 or bits[0] != np.rint(bits[0]) or not 1 <= bits[0] <= _BITS_MAX:
        shown = ", ".join(f"{bit:g}" for bit in bits[:3])
        node.refuse(f"has a bit width of {shown}; one of 1 to {_BITS_MAX} is supported")
    reach = 2 ** (int(bits[0]) - is_signed)
    low, high = (-reach + is_narrow if is_signed else 0), reach - 1
    if is_narrow and not is_signed:
        high -= 1
    if low >= high:
        node.refuse(f"has limits {low} and {high}, which leave no step")
    return (
        node.constant("low", np.array(low, np.float32)),
        node.constant("high", np.array(high, np.float32)),
    )


def _bipolar_quant(node: Expansion) -> None:
    zero, one, two = (
        node.constant(name, np.array(value, np.float32))
        for name, value in (("zero", 0), ("one", 1), ("two", 2))
    )
    if np.any(node.array(1) <= 0):
        node.refuse(f"has a scale of {node.array(1).min():g}; it must be above 0")
    whole = node.add("Floor", node.input(0))
    above = node.add("Add", whole, one, suffix="above")
    limited = node.add("Clip", above, zero, one, suffix="limits")
    doubled = node.add("Mul", limited, two, suffix="doubled")
    sign = node.add("Sub", doubled, one, suffix="sign")
    node.add("Mul", sign, node.input(1), suffix="scaled", to=node.output)


def _multi_threshold(node: Expansion) -> None:
    thresholds = np.atleast_2d(node.array(1).astype(np.float64))
    if thresholds.ndim != 2 or not thresholds.size:
        node.refuse(f"has thresholds of shape {thresholds.shape}; (channels, steps) is needed")
    layout = node.text("data_layout", "NCHW")
    node.text("out_dtype", "")
    scale, bias = node.number("out_scale", 1.0), node.number("out_bias", 0.0)
    first, spacing = _progression(node, thresholds)
    shape = {"NCHW": (1, -1, 1, 1), "NHWC": (1, 1, 1, -1), "NC": (1, -1)}.get(layout)
    if shape is None:
        node.refuse(f"has data_layout={layout}; NCHW, NHWC and NC are supported")
    constants = {
        "first": first.reshape(shape),
        "spacing": spacing.reshape(shape),
        "one": np.array(1.0),
        "none": np.array(0.0),
        "most": np.array(float(thresholds.shape[1])),
        "scale": np.array(scale),
        "bias": np.array(bias),
    }
    name = {key: node.constant(key, v.astype(np.float32)) for key, v in constants.items()}
    above = node.add("Sub", node.input(0), name["first"], suffix="above")
    steps = node.add("Div", above, name["spacing"], suffix="steps")
    whole = node.add("Floor", steps)
    passed = node.add("Add", whole, name["one"], suffix="passed")
    count = node.add("Clip", passed, name["none"], name["most"], suffix="limits")
    scaled = node.add("Mul", count, name["scale"], suffix="scaled")
    node.add("Add", scaled, name["bias"], suffix="biased", to=node.output)


def _progression(node: Expansion, thresholds: Array) -> tuple[Array, Array]:
    """Return the first threshold of each channel and the distance between two, ``(C,)``."""
    first, count = thresholds[:, 0], thresholds.shape[1]
    spacing = np.ones(len(thresholds))
    if count > 1:
        spacing = (thresholds[:, -1] - first) / (count - 1)
    wanted = first[:, None] + spacing[:, None] * np.arange(count)
    if np.any(spacing <= 0) or np.any(
        np.abs(thresholds - wanted) > _EVEN * np.abs(spacing)[:, None]
    ):
        node.refuse(
            "has thresholds that are not evenly spaced; a neuron has one threshold for all its "
            "spikes",
            "export the network before its activations become thresholds, as Quant nodes",
        )
    return first, spacing


QONNX: Mapping[tuple[str, str], Expander] = {
    (domain, name): expander
    for domain in _DOMAINS
    for name, expander in (
        ("Quant", _quant),
        ("IntQuant", _quant),
        ("BipolarQuant", _bipolar_quant),
        ("MultiThreshold", _multi_threshold),
    )
}
"""By domain and name."""
