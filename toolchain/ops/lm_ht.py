"""Trained LM-HT neurons, and the windows that they work in: functions of our own domain.

`toolchain.frontend.functions` has checked their attributes, types and places before.
"""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import Input, Relu
from toolchain.ir.snn import LmHt
from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._layout import inverse


@IMPORTERS.register("ai.snn_compile.RepeatWindows")
@versions(1)
def import_repeat_windows(call: Call) -> Value:
    """Hands on its input, the same in every window; no operation on the chip.

    - Before all neurons of `ai.snn_compile`.
    """
    call.integer("windows", 1)
    return call.pass_on(call.value())


@IMPORTERS.register("ai.snn_compile.FoldWindows")
@versions(1)
def import_fold_windows(call: Call) -> Value:
    """Says that the sample's first axis is that of its windows; no operation on the chip.

    - Reads the network's input.
    """
    value = call.value()
    entry = call.builder[value.node]
    if (
        not isinstance(entry, Input)
        or value.order is not None
        or value.shape != entry.source_shape
    ):
        call.refuse(
            "reads what the network computes; only the network's input has windows",
            "let it be the first node, and compute within the windows",
        )
    inputs = [node for node in call.builder.nodes if isinstance(node, Input)]
    call.require(
        len(inputs) == 1,
        f"says that one of {len(inputs)} inputs has windows",
        "join the inputs along an axis of the sample, outside the network",
    )
    call.builder.take_windows(value.node, call.integer("windows", 1))
    return call.pass_on(Value(value.node, call.output_shape))


@IMPORTERS.register("ai.snn_compile.MultiThreshold")
@versions(1)
def import_multi_threshold(call: Call) -> Value:
    """Becomes spiking neurons as they were trained; calibration changes nothing in them.

    - `windows` is 1 to 256, and the same for all neurons.
    - `levels` is 1 to 1023, `threshold` above 0, `retention` 0 to 1, `mixing` has `windows**2`
      finite numbers.
    """
    value = call.value()
    windows, levels = call.integer("windows", 0), call.integer("levels", 0)
    threshold, initial = call.number("threshold", 0.0), call.number("initial", 0.0)
    retention, mixing = call.number("retention", 0.0), np.array(call.numbers("mixing"))
    call.require(
        mixing.size == windows**2,
        f"has {mixing.size} numbers as mixing; windows={windows} needs {windows**2}",
        _AGAIN,
    )
    for name, finite in (("mixing", mixing), ("initial", initial)):
        call.require(
            bool(np.isfinite(finite).all()), f"has a {name} that is not finite", _OVERFLOW
        )
    call.require(
        1 <= levels <= _LARGEST_LEVELS,
        f"has levels={levels}; 1 to {_LARGEST_LEVELS} are supported",
        "train with fewer levels" if levels > _LARGEST_LEVELS else _AGAIN,
    )
    call.require(
        0 < threshold < np.inf, f"has threshold={threshold:g}; it must be above 0", _OVERFLOW
    )
    call.require(
        0 <= retention <= 1,
        f"has retention={retention:g}; 0 to 1 are supported",
        "limit the retention in training: no register holds one above 1",
    )
    node = call.emit(
        LmHt,
        value.node,
        levels=levels,
        threshold=threshold,
        mixing=mixing.reshape(windows, windows),
        retention=retention,
        initial=initial,
        tensor=call.output,
        tensor_order=None if value.order is None else inverse(value.order),
    )
    return value.moved_to(node)


@IMPORTERS.register("ai.snn_compile.AverageWindows")
@versions(1)
def import_average_windows(call: Call) -> Value:
    """Is computed by the host.

    - After all neurons of `ai.snn_compile`; only what the host computes may follow.
    """
    value = call.value()
    windows = call.integer("windows", 1)
    call.require(
        windows == 1 or not isinstance(call.builder[value.node], Relu),
        "reads a Relu, whose values in single windows the host does not have",
        "end the network with a dense layer",
    )
    return call.pass_on(value.reshaped(call.output_shape))


_LARGEST_LEVELS = 1023
_OVERFLOW = "train the network again: its parameters overflowed"
_AGAIN = "export the network again with snn-compile's own exporter"
