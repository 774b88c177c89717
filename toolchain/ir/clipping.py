"""How many values of samples lie beyond what an input's encoding can say, and are clipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import Input
from toolchain.ir.graph import Graph
from toolchain.ir.reference import entering

SHARE_TOLERATED = 0.01
"""Share of an input's values that may be clipped without a warning."""


@dataclass(frozen=True)
class Clipping:
    """Values of one input, counted over some samples.

    Attributes:
        name: Of the input, as the model's user knows it.
        low: Smallest value that the encoding can say, in the units of the model.
        high: Largest one.
        clipped: Values more than half a step beyond these.
        values: All of them.
    """

    name: str
    low: float
    high: float
    clipped: int
    values: int


def count_clipped(graph: Graph, x: npt.NDArray[Any]) -> tuple[Clipping, ...]:
    """Return what encoding samples clips, for each input that has an encoding.

    Args:
        graph: Quantized.
        x: Samples, in the units of the model's inputs.
    """
    return tuple(_of_input(node, x) for node in graph.inputs if node.encoding is not None)


def summed(clippings: Iterable[Clipping]) -> tuple[Clipping, ...]:
    """Add up what was counted of the same input."""
    sums: dict[tuple[str, float, float], Clipping] = {}
    for each in clippings:
        key = (each.name, each.low, each.high)
        before = sums.get(key, dataclasses.replace(each, clipped=0, values=0))
        sums[key] = dataclasses.replace(
            each, clipped=before.clipped + each.clipped, values=before.values + each.values
        )
    return tuple(sums.values())


def warn_of_clipping(graph: Graph, x: npt.NDArray[Any]) -> Iterator[str]:
    """Yield a warning for each input of which encoding these samples clips too much."""
    return describe_clipping(count_clipped(graph, x))


def describe_clipping(clippings: Iterable[Clipping]) -> Iterator[str]:
    """Yield a warning for each input of which more than `SHARE_TOLERATED` is clipped."""
    for each in clippings:
        if each.clipped > SHARE_TOLERATED * each.values:
            yield (
                f"{each.clipped / each.values:.1%} of the values of input {each.name!r} are "
                f"clipped: they lie outside {each.low:.4g} to {each.high:.4g}, which its "
                "encoding covers; scale the samples as those of the calibration, or compile "
                "with such samples as --calibration"
            )


def _of_input(node: Input, x: npt.NDArray[Any]) -> Clipping:
    code = node.encoding
    scale, low, high = (1.0, 0, 0) if code is None else (code.scale, code.low, code.high)
    least, most = np.float64((low - 0.5) * scale), np.float64((high + 0.5) * scale)
    clipped, values = 0, entering(node, x)
    if values.size and (values.min() < least or values.max() > most):
        clipped = int(np.count_nonzero((values < least) | (values > most)))
    return Clipping(node.tensor or node.name, low * scale, high * scale, clipped, values.size)
