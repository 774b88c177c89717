"""Integers between the layers of a twin: how ONNX holds what populations and inputs send."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.ir.node import Shape

BYTE_MAX = 255


@dataclass(frozen=True)
class Signal:
    """A value of the model.

    Attributes:
        value: Name in the model; uint8, or float32 where bytes are too short.
        shape: Without the batch axis.
        low: Smallest integer, <= 0.
        high: Largest integer.
    """

    value: str
    shape: Shape
    low: int
    high: int

    @property
    def is_bytes(self) -> bool:
        """Whether it is held in bytes, shifted up by `zero_point`."""
        return self.high - self.low <= BYTE_MAX

    @property
    def zero_point(self) -> int:
        """The byte that stands for 0."""
        return -self.low if self.is_bytes else 0
