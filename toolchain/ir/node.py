"""The common part of every node: a name, its inputs, and the ONNX nodes it stands for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from toolchain.errors import VerifyError

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = npt.NDArray[Any]
IndexArray: TypeAlias = npt.NDArray[np.int64]
N = TypeVar("N", bound="Node")


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operation on the tensors of a sample; batch and time axes are absent.

    Attributes:
        name: Unique in its graph.
        inputs: Names of the nodes whose outputs it reads, in order.
        origin: Names of the ONNX nodes that this one stands for. Rewrites keep them, so that
            every node of the model stays accounted for.
    """

    name: str
    inputs: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output for the given shapes of the inputs.

        Raises:
            VerifyError: The shapes do not fit the node's parameters.
        """
        raise NotImplementedError

    def shape_behind(self, inputs: tuple[Shape, ...]) -> Shape:
        """Return `output_shape`, computed once for the same inputs: a node never changes."""
        known: dict[tuple[Shape, ...], Shape] = self.__dict__.setdefault("_known_shapes", {})
        if inputs not in known:
            known[inputs] = self.output_shape(*inputs)
        return known[inputs]

    def reading(self: N, name: str, *instead: str) -> N:
        """Return the node that reads the nodes ``instead`` wherever it read ``name``."""
        inputs = (new for old in self.inputs for new in (instead if old == name else (old,)))
        return dataclasses.replace(self, inputs=tuple(inputs))

    @property
    def kind(self) -> str:
        """The node's class in the text form and in messages."""
        return type(self).__name__

    def _require(self, holds: bool, problem: str, *, hint: str | None = None) -> None:
        if not holds:
            raise VerifyError(problem, node=self.name, hint=hint)

    def _require_order(self, order: IndexArray | None, size: int, shape: Shape) -> None:
        """Refuse an order that does not choose the elements of ``shape`` from ``size``."""
        wanted = int(np.prod(shape))
        if order is None:
            self._require(size == wanted, f"makes {shape} of {size} elements")
            return
        self._require(order.size == wanted, f"makes {shape} of {order.size} elements")
        is_inside = order.size > 0 and order.min() >= -1 and order.max() < size
        self._require(is_inside, f"reads elements that are not among {size}")

    def _broadcasts(self, parameter: str, shape: Shape) -> None:
        found = np.shape(getattr(self, parameter))
        try:
            fits = np.broadcast_shapes(found, shape) == shape
        except ValueError:
            fits = False
        self._require(fits, f"{parameter} has shape {found}, which does not fit {shape}")
