"""Modelled energy: counted operations times the cost of an operation, nothing else.

A binary spike adds a weight, a graded one multiplies it, and so does every connection of the
source network. Memory, routing and leakage are left out on both sides, so the figures compare
networks and do not predict a chip.

Source: 45 nm costs of Horowitz, "Computing's Energy Problem", ISSCC 2014, as LM-HT and most of
the field use them: 0.9 pJ for a 32-bit floating-point addition, 4.6 pJ for a multiplication and
addition.
"""

from __future__ import annotations

import numpy as np

from toolchain.ir.ann import Conv, Dense
from toolchain.ir.graph import Graph
from toolchain.report import Energy

ACCUMULATE_J = 0.9e-12
MULTIPLY_ACCUMULATE_J = 4.6e-12


def model_energy(operations: float, graded: float, source: int) -> Energy:
    """Return the energy of one sample.

    Args:
        operations: Synaptic operations per sample.
        graded: Those of them that graded spikes caused.
        source: Multiply-accumulates of the source network per sample.
    """
    accumulates = operations - graded
    return Energy(
        accumulates=accumulates,
        multiply_accumulates=graded,
        source_multiply_accumulates=source,
        network_j=accumulates * ACCUMULATE_J + graded * MULTIPLY_ACCUMULATE_J,
        source_j=source * MULTIPLY_ACCUMULATE_J,
    )


def count_multiply_accumulates(graph: Graph) -> int:
    """Return the multiply-accumulates of a prepared network for one sample.

    A layer behind neurons of several windows runs once in each of them.
    """
    total = 0
    for node in graph:
        if isinstance(node, (Dense, Conv)):
            positions = int(np.prod(graph.shapes[node.name][1:]))
            runs = getattr(graph.feeder(node), "windows", 1)
            total += node.weight.size * positions * runs
    return total
