"""What a circuit asks of the chip beyond what every chip of its kind is known to do."""

from __future__ import annotations

import numpy as np

from toolchain.ir.mapped import Circuit, Lif
from toolchain.ir.radix import Radix, RadixMax

NO_DECAY = "no-decay"
"""A synaptic current that keeps its value for ever."""

OWN_THRESHOLDS = "own-thresholds"
"""Neurons of one population with different thresholds."""

NEURON_PROGRAM = "neuron-program"
"""Neurons that no stock neuron of the chip stands for."""


def features_of(circuit: Circuit) -> frozenset[str]:
    """Return the names of the features that a circuit uses."""
    neurons = [node for node in circuit.populations if isinstance(node, Lif)]
    found = set()
    if any(np.any(np.asarray(lif.decay_u) == 0) for lif in neurons):
        found.add(NO_DECAY)
    if any(np.unique(np.asarray(lif.threshold)).size > 1 for lif in neurons):
        found.add(OWN_THRESHOLDS)
    if any(isinstance(node, Radix | RadixMax) for node in circuit.populations):
        found.add(NEURON_PROGRAM)
    return frozenset(found)
