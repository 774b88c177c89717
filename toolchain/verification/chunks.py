"""Samples in chunks whose values fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.data import Samples
from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt, Spiking

_CHUNK_BYTES = 48 * 2**20
_KEPT_BYTES, _PASSING_BYTES = 8, 48
"""Of each value that is compared later, and of each in the layer that is run."""

_SAMPLES_MAX = 256


def chunks(graph: Graph, samples: Samples) -> Iterator[tuple[int, Samples]]:
    """Yield the samples chunk by chunk, each with the number of its first.

    Args:
        graph: At any phase.
        samples: With or without labels.
    """
    levels = max((node.levels for node in graph.of_type(Spiking)), default=1)
    windows = max((node.windows for node in graph.of_type(LmHt)), default=1)
    sizes = [windows * int(np.prod(shape)) for shape in graph.shapes.values()]
    per_sample = _KEPT_BYTES * sum(sizes) + (levels + _PASSING_BYTES) * max(sizes)
    size = int(np.clip(_CHUNK_BYTES // per_sample, 1, _SAMPLES_MAX))
    for start in range(0, len(samples.x), size):
        part = slice(start, start + size)
        yield start, Samples(samples.x[part], None if samples.y is None else samples.y[part])
