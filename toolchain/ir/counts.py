"""What a spiking graph computes in spike counts: the same answer without the single spikes.

Every neuron's count is that of `MultiThreshold`, whichever way it is lowered, and an OR over
sorted trains has the count of the longest of them (``toolchain.passes.lower_neurons`` has the
proofs).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from toolchain.ir.ann import MaxPool
from toolchain.ir.convolution import windows
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.reference import Floats, compute, counts_of
from toolchain.ir.snn import Spiking
from toolchain.ir.windows import run_windows


def sweep(graph: Graph, x: npt.NDArray[np.generic]) -> Iterator[tuple[Node, Floats, Floats]]:
    """Run a graph of one path node by node.

    Args:
        graph: Converted or later.
        x: ``(batch, *source_shape)``, in the units of the model's input.

    Yields:
        Each node with its input and its output, ``(batch, *shape)``; keep what is needed.
    """
    value: Floats = np.asarray(x, np.float64)
    for node in graph:
        before, value = value, count(node, value)
        yield node, before, value


def count(node: Node, x: Floats) -> Floats:
    """Return the output of one node for its input, both ``(batch, *shape)``, in counts."""
    if isinstance(node, Spiking):
        return _counts(node, x)
    if isinstance(node, MaxPool):
        return windows(x, node.kernel, node.stride, node.padding, fill=-np.inf).max(axis=(4, 5))
    return counts_of(compute(node, x))


def _counts(neurons: Spiking, a: Floats) -> Floats:
    def fire(m: Floats, threshold: Floats) -> tuple[Floats, Floats]:
        n = np.clip(np.floor(m / threshold), 0, neurons.levels)
        return n, n

    return run_windows(neurons, a, fire)
