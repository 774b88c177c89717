"""Views: how an ONNX value lies in the channel-first output of a node.

ONNX models flatten, reshape and transpose freely, and nothing is computed by it. During import
these operators only change the *view* that a value is of a node's output; a `Rearrange` is made
where, and only where, an operator needs the values in another shape or order.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np

from toolchain.ir.node import Array, IndexArray, Shape


@dataclass(frozen=True, eq=False)
class Value:
    """An ONNX value, as a view of a node's output: ``value.flat[i] = output.flat[order[i]]``.

    Attributes:
        node: Name of the node.
        shape: Of the ONNX value, without its batch axis.
        order: Flat index into the node's output for each element of the value; `None` keeps the
            order.
    """

    node: str
    shape: Shape
    order: IndexArray | None = None

    @property
    def size(self) -> int:
        """Number of elements in one sample."""
        return math.prod(self.shape)

    def moved_to(self, node: str) -> Value:
        """Return the same view of another node's output, which is as large."""
        return dataclasses.replace(self, node=node)

    def reshaped(self, shape: Shape) -> Value:
        """Return the value in another shape."""
        return dataclasses.replace(self, shape=shape)

    def transposed(self, axes: tuple[int, ...]) -> Value:
        """Return the value with its axes in another sequence."""
        indices = self.indices().transpose(axes)
        return Value(self.node, indices.shape, simplified(indices.ravel()))

    def indices(self) -> IndexArray:
        """Return the flat index into the node's output for each element, in ``shape``."""
        order = np.arange(self.size) if self.order is None else self.order
        return order.reshape(self.shape)

    def to_node(self, constant: Array, node_shape: Shape) -> Array:
        """Return a constant that goes with this value as one that goes with the node's output.

        Args:
            constant: Broadcasts to ``(1, *shape)``.
            node_shape: Shape of the node's output.

        Returns:
            A scalar or ``(C, 1, 1)`` where that says the same, else ``node_shape``.
        """
        if constant.size == 1:
            return constant.reshape(())
        values = np.broadcast_to(constant, (1, *self.shape)).ravel()
        if self.order is not None:
            values = values[inverse(self.order)]
        return compressed(values.reshape(node_shape))


def simplified(order: IndexArray) -> IndexArray | None:
    """Return `None` for an order that changes nothing, else the order."""
    return None if np.array_equal(order, np.arange(order.size)) else order


def inverse(order: IndexArray) -> IndexArray:
    """Return the order that undoes ``order``."""
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return back


def composed(first: IndexArray | None, then: IndexArray | None) -> IndexArray | None:
    """Return the one order that reads as ``then`` reading from what ``first`` gives."""
    if first is None or then is None:
        return then if first is None else first
    return simplified(first[then])


def compressed(array: Array) -> Array:
    """Return the smallest of a scalar, ``(C, 1, 1)`` and ``array`` that broadcasts to it."""
    if array.size and (array == array.flat[0]).all():
        return array.flat[0].reshape(())
    if array.ndim == 3 and (array == array[:, :1, :1]).all():
        return array[:, :1, :1].copy()
    return array


def axes_in_node(value: Value, node_shape: Shape) -> list[tuple[int, ...]]:
    """Return how the axes of a value can be axes of its node, both with three axes.

    Returns:
        Permutations: element ``i`` is the node's axis that axis ``i`` of the value is. More
        than one where axes of length 1 can be taken for each other, none where the view is no
        transposition.
    """
    if len(node_shape) != 3 or len(value.shape) != 3:
        return []
    flat = np.arange(math.prod(node_shape)).reshape(node_shape)
    return [
        axes
        for axes in itertools.permutations(range(3))
        if np.array_equal(flat.transpose(axes), value.indices())
    ]
