"""Importers, one ONNX operator family per file.

An importer turns one ONNX node into primitives of `toolchain.ir.ann`, or into nothing but
another view of the values it reads::

    @IMPORTERS.register("Relu")
    @versions(6, 13, 14)
    def import_relu(call: Call) -> Value:
        value = call.value()
        return value.moved_to(call.emit(Relu, value.node, tensor=call.output))

What it does not understand it refuses: every attribute that it does not ask for is an error.
"""

from __future__ import annotations

from toolchain.ops._call import Call, Importer, versions
from toolchain.ops._description import described
from toolchain.ops._folded import FOLDED
from toolchain.ops._layout import Value
from toolchain.registry import Registry

IMPORTERS: Registry[Importer] = Registry("ONNX operator", "toolchain.ops")


def describe_operators() -> str:
    """Return the page ``docs/supported-operators.md``, made from the importers' docstrings."""
    return described({name: IMPORTERS[name] for name in IMPORTERS})


__all__ = [
    "FOLDED",
    "IMPORTERS",
    "Call",
    "Importer",
    "Value",
    "describe_operators",
    "versions",
]
