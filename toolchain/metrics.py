"""The task metric: which answer a network gives, and how often it is the right one.

What an answer is follows from the outputs ``(samples, *shape)`` and from what the host does to
them last:

- **argmax**: the values are the answers.
- **several outputs**: the index of the largest along the class axis. This is the axis of a
  softmax where there is one (all axes as one where it takes them together); else the only axis
  longer than 1; else the first after the samples, as ONNX orders channels, so that
  ``(samples, classes, H, W)`` is answered per pixel.
- **a single output** (a class axis of length 1): 1 above the threshold, else 0. The threshold
  is 0.5 after a sigmoid and 0 without, for a logit.

A model with several outputs gives an answer with each of them. Labels are for the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.errors import InputDataError
from toolchain.ir.ann import HostOp
from toolchain.ir.graph import Graph
from toolchain.ir.node import Shape
from toolchain.ir.packing import unpack

Outputs: TypeAlias = npt.NDArray[Any]
Answers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        shape: Of it, without samples.
        tail: What the host did last, `Output.tail`.
    """

    shape: Shape
    tail: tuple[HostOp, ...] = ()


def heads_of(graph: Graph) -> tuple[Head, ...]:
    """Return the outputs of a graph."""
    return tuple(Head(graph.shapes[node.name], node.tail) for node in graph.outputs)


def answers(y: Outputs, tail: Sequence[HostOp] = ()) -> Answers:
    """Return the answers ``(samples, ...)``, without the class axis and axes of length 1.

    Args:
        y: ``(samples, *shape)``, what the model returns.
        tail: What the host did last, `Output.tail`.
    """
    functions = [step.function for step in tail]
    if "argmax" in functions:
        return _squeezed(np.rint(y).astype(np.int64))
    axis = _class_axis(y.shape[1:], tail)
    if axis is None:
        return np.asarray(y.reshape(len(y), -1).argmax(axis=1), np.int64)
    if _classes(y.shape[1:], axis) > 1:
        return _squeezed(y.argmax(axis=axis + 1))
    threshold = 0.5 if "sigmoid" in functions else 0.0
    return _squeezed((y > threshold).astype(np.int64))


def accuracy(
    y: Outputs, labels: npt.NDArray[np.integer[Any]], heads: Sequence[Head] = ()
) -> float:
    """Return the share of answers that equal their labels, 0 to 1.

    Args:
        y: ``(samples, *shape)``, what the model returns.
        labels: As for `count_right`.
        heads: Its outputs; none for one that the host does nothing to.

    Raises:
        InputDataError: As `count_right` does.
    """
    right, given = count_right(y, labels, heads)
    return right / given


def count_right(
    y: Outputs, labels: npt.NDArray[np.integer[Any]], heads: Sequence[Head] = ()
) -> tuple[int, int]:
    """Return how many answers equal their labels, and how many answers there are.

    Args:
        y: ``(samples, *shape)``, what the model returns.
        labels: As many integers as the first output gives answers, from 0; axes of length 1 do
            not matter.
        heads: Its outputs; none for one that the host does nothing to.

    Raises:
        InputDataError: There are more or fewer labels than answers, or a label is none of the
            answers that the outputs can give.
    """
    y, tail = _by_head(y, heads)[0]
    given = answers(y, tail)
    wanted = _squeezed(np.asarray(labels, np.int64))
    if wanted.shape != given.shape:
        raise InputDataError(
            f"labels 'y' have shape {np.shape(labels)}; outputs of shape {y.shape} give "
            f"answers of shape {given.shape}",
            hint="save one integer label for each answer",
        )
    largest = _largest_answer(y.shape[1:], tail)
    if wanted.min() < 0 or (largest is not None and wanted.max() > largest):
        allowed = "0 and up" if largest is None else f"0 to {largest}"
        raise InputDataError(
            f"labels 'y' go from {wanted.min()} to {wanted.max()}; the answers of this model "
            f"go from {allowed}",
            hint="number the classes as the model does, from 0",
        )
    return int(np.count_nonzero(given == wanted)), given.size


def agreement(y: Outputs, y_reference: Outputs, heads: Sequence[Head] = ()) -> float:
    """Return the share of answers, of all outputs, that two networks agree in, 0 to 1.

    Args:
        y: ``(samples, *shape)``, what one of them returns.
        y_reference: Likewise, of the other.
        heads: Its outputs; none for one that the host does nothing to.
    """
    pairs = zip(_by_head(y, heads), _by_head(y_reference, heads), strict=True)
    same = [(answers(*one) == answers(*other)).ravel() for one, other in pairs]
    return float(np.mean(np.concatenate(same)))


def _by_head(y: Outputs, heads: Sequence[Head]) -> list[tuple[Outputs, tuple[HostOp, ...]]]:
    """Return what each output gives, and what the host did to it."""
    if not heads:
        return [(y, ())]
    parts = unpack(y, [head.shape for head in heads])
    return [(part, head.tail) for part, head in zip(parts, heads, strict=True)]


def _class_axis(shape: tuple[int, ...], tail: Sequence[HostOp]) -> int | None:
    """Return the axis, not counting samples, along which classes compete; `None` for all."""
    for step in tail:
        if step.function in ("softmax", "log-softmax"):
            return step.axis
    long = [axis for axis, length in enumerate(shape) if length > 1]
    return long[0] if len(long) == 1 else 0


def _classes(shape: tuple[int, ...], axis: int | None) -> int:
    """Return the number of outputs that compete."""
    return math.prod(shape) if axis is None else math.prod(shape[axis : axis + 1])


def _largest_answer(shape: tuple[int, ...], tail: Sequence[HostOp]) -> int | None:
    if any(step.function == "argmax" for step in tail):
        return None
    return max(_classes(shape, _class_axis(shape, tail)), 2) - 1


def _squeezed(values: npt.NDArray[Any]) -> Answers:
    """Return ``values`` without axes of length 1, other than that of the samples."""
    return values.reshape(len(values), *(length for length in values.shape[1:] if length > 1))
