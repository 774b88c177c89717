"""The quantizer of a quantized model, which neurons count exactly."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.ir.ann import Relu
from toolchain.ir.graph import Graph
from toolchain.ir.node import IndexArray, Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt


@dataclass(frozen=True, kw_only=True, eq=False)
class Staircase(Node):
    """Rounding to whole steps within limits: the quantizer of a quantized model.

    ``y = clip(rint(x), low, high)``, halves to even, or with ``floor`` in place of ``rint``.
    What a step stands for is said by an `Affine` before it and one behind it.

    Attributes:
        low: Smallest value, a whole number or minus infinity.
        high: Largest value, a whole number or infinity.
        rounds_down: Whether it rounds down instead of to the nearest.
        tensor: Name of the ONNX value that holds the output, to compare them by; empty where
            there is none.
        tensor_zero: What that value holds where the output is 0.
        tensor_order: Flat index into that value (without batch axis) for each element of the
            output; `None` keeps the order.
    """

    low: float
    high: float
    rounds_down: bool = False
    tensor: str = ""
    tensor_zero: int = 0
    tensor_order: IndexArray | None = None

    def __post_init__(self) -> None:
        self._require(self.low < self.high, f"goes from {self.low:g} to {self.high:g}")

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        return inputs[0]


def counts_steps(prepared: Graph) -> bool:
    """Tell whether all that a network sends are steps that its model has already."""
    is_known = all(node.encoding is not None for node in prepared.inputs)
    return (
        is_known
        and bool(prepared.of_type(Staircase))
        and not any(isinstance(node, (Relu, Smooth, LmHt)) for node in prepared)
    )
