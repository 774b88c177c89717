"""From the quantized graph to a circuit of chip neurons: one lowering per file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.registry import Registry
from toolchain.target import Target

Mapping: TypeAlias = Callable[[Graph, Target], Circuit]

MAPPINGS: Registry[Mapping] = Registry("lowering", "toolchain.mapping")
