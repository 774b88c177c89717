"""The page that lists the supported operators."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping

from toolchain.ops._call import Importer
from toolchain.ops._folded import FOLDED

_INTRODUCTION = """\
# Supported operators

<!-- Written by toolchain.ops.describe_operators(); a test compares the two. -->

A model has inputs and outputs, one or several, and any branches between them
([networks](networks.md)). Their first axis is the batch axis, of length 1 or dynamic; all
others have a fixed length. Values are float16, float32 or float64; an input may be integers
that the model casts to floats. Opset 7 and newer are read.

What is not in this list is refused, by the name of the node. So is an attribute that an
importer does not know, and an operator in a version not listed. A *version* is the opset in
which ONNX introduced or changed the operator. Those of `ai.snn_compile` are functions:
snn-compile writes them, with their definition, into the files of networks that it has trained,
and they have the version of that domain.
"""

_CONSTANTS = """\
## Operators on constants

These are computed once, on import, where all they read is constant (or, for `Shape` and `Size`,
of fixed shape):
"""


def described(importers: Mapping[str, Importer]) -> str:
    """Return the page for ``importers``, by name of the operator."""
    rows = ["| operator | versions | what becomes of it |", "|---|---|---|"]
    conditions = ["## Conditions\n"]
    for name, importer in importers.items():
        summary, _, rest = (inspect.getdoc(importer) or "").partition("\n")
        rows.append(f"| `{name}` | {', '.join(map(str, importer.versions))} | {summary} |")
        if rest.strip():
            conditions.append(f"### {name}\n\n{rest.strip()}\n")
    folded = textwrap.fill(", ".join(f"`{name}`" for name in FOLDED) + ".", width=96)
    return "\n".join([_INTRODUCTION, *rows, "", *conditions, _CONSTANTS, folded, ""])
