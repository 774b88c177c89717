"""A smooth activation, which straight pieces stand in for."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.ir.curve import Curve
from toolchain.ir.node import Node, Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Smooth(Node):
    """Elementwise ``y = curve(x)``: sigmoid, tanh, GELU and their kin, however spelled.

    Attributes:
        curve: The function.
    """

    curve: Curve

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        return inputs[0]
