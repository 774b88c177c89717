"""Operators that hand on the values they read."""

from __future__ import annotations

from toolchain.ops import IMPORTERS, Call, Value, versions
from toolchain.ops._call import dtype_name


@IMPORTERS.register("Identity")
@versions(1, 13, 14, 16, 19, 21, 23, 24, 25)
def import_identity(call: Call) -> Value:
    """Hands on its input; no operation on the chip."""
    return call.pass_on(call.passed_value())


@IMPORTERS.register("Dropout")
@versions(7, 10, 12, 13, 22)
def import_dropout(call: Call) -> Value:
    """Hands on its input; no operation on the chip.

    - In inference: `training_mode` is absent or false, the output `mask` is not used.
    """
    call.number("ratio", 0.5)  # of training only, as is the seed
    call.integer("seed", 0)
    call.require(
        not (call.has(2) and call.raw_constant(2).any()),
        "has training_mode=1; only 0 is supported",
        "put the model into evaluation mode before exporting it",
    )
    return call.pass_on(call.passed_value())


@IMPORTERS.register("Cast")
@versions(6, 9, 13, 19, 21, 23, 24, 25, 28)
def import_cast(call: Call) -> Value:
    """Hands on its input; no operation on the chip, whose arithmetic is its own.

    - From float to float, from integers to float, or from integers to wider integers.
    """
    value = call.passed_value()
    found = call.dtypes[0]
    wanted = dtype_name(call.integer("to", 0))
    call.integer("saturate", 1)  # of types with 8 bits only, as is the rounding
    call.text("round_mode", "up")
    call.require(
        wanted in _LOSSLESS.get(found, ()),
        f"from {found} to {wanted} changes values",
        "keep activations in floats",
    )
    return call.pass_on(value)


_FLOATS = ("float16", "float32", "float64")
_LOSSLESS = {
    **dict.fromkeys(_FLOATS, _FLOATS),
    "uint8": (*_FLOATS, "uint8", "uint16", "int16", "int32", "int64"),
    "int8": (*_FLOATS, "int8", "int16", "int32", "int64"),
    "uint16": (*_FLOATS, "uint16", "int32", "int64"),
    "int16": (*_FLOATS, "int16", "int32", "int64"),
    "int32": (*_FLOATS, "int32", "int64"),
    "int64": (*_FLOATS, "int64"),
}
