r"""The published way to single-threshold neurons, and how often it counts otherwise.

The paper spreads the input current of a window evenly over :math:`L` time steps of a neuron
with one threshold: step :math:`j` of window :math:`t` receives

.. math::
    a_j = \sum_k \frac{\omega_{t(j) \, t(k)}}{L} \, W s_k \theta_{in}
          + \sum_i \omega_{t(j) \, i} \frac{b}{L},

summed over all steps :math:`k` of all windows, so :math:`\hat\Omega = \Omega \otimes
\mathbf{1}_{L \times L} / L`; the potential keeps :math:`\lambda` of itself in the first step
of each window and all of it in the others; a spike subtracts the threshold. With spikes counted
by window it equals the multi-threshold neuron if that starts each window with :math:`0 \le
\lambda v < \theta`, or if no current is ever negative. Otherwise it may spike before the
inhibition has arrived, or have no steps left when the excitation has.

The exact lowering is ``toolchain.passes.unroll_windows`` with
``toolchain.passes.lower_neurons``; this module only measures what it avoids. Max-pools are left
with the counts of windows, where they are exact.

Source: Hao et al., "LM-HT SNN", NeurIPS 2024, theorem A.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.ir.graph import Graph
from toolchain.ir.reference import Value, Windows, answers_of, counts_of, evaluate
from toolchain.ir.snn import LmHt

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerResidue:
    """How many spike counts of a population the published way changes.

    Attributes:
        name: Of the neurons.
        counts: Windows of neurons that were compared, over all samples.
        isolated: Share of them that differ on the inputs of the exact network, 0 to 1.
        cumulative: Share that differ behind layers that were changed as well, 0 to 1.
    """

    name: str
    counts: int
    isolated: float
    cumulative: float


@dataclass(frozen=True)
class Residue:
    """What the published way changes in a network.

    Attributes:
        layers: By population, in the order of the graph.
        answers: Share of samples whose largest output is another one, 0 to 1.
    """

    layers: tuple[LayerResidue, ...]
    answers: float


def uniform_residue(graph: Graph, x: npt.NDArray[Any]) -> Residue:
    """Compare the published reparameterization with the neurons it stands for, in float64.

    Args:
        graph: Of `LmHt` neurons, at `Phase.IMPORT` or `Phase.PREPARE`.
        x: ``(samples, *source_shape)``, an axis of windows second if the input has them.
    """
    exact = evaluate(graph, x)
    changed: dict[str, Value] = {}
    layers = []
    for node in graph.of_type(LmHt):
        (source,) = node.inputs
        isolated = uniform_windows(node, exact[source])
        cumulative = uniform_windows(node, evaluate(graph, x, changed)[source])
        changed[node.name] = cumulative
        wanted = exact[node.name]
        layers.append(
            LayerResidue(
                name=node.name,
                counts=isolated.values.size,
                isolated=_share(isolated, wanted, node),
                cumulative=_share(cumulative, wanted, node),
            )
        )
    outputs = (answers_of(graph, values) for values in (exact, evaluate(graph, x, changed)))
    before, after = (y.reshape(len(x), -1).argmax(axis=1) for y in outputs)
    return Residue(tuple(layers), float(np.mean(before != after)))


def uniform_windows(neurons: LmHt, x: Value) -> Windows:
    """Return what single-threshold neurons send in each window with its current spread evenly.

    Args:
        neurons: The multi-threshold neurons they stand for.
        x: Current of each window, or of all ``(batch, *shape)``.

    Returns:
        Spikes times threshold, ``(batch, windows, *shape)``.
    """
    if isinstance(x, Windows):
        current = np.moveaxis(x.values, 1, 0)
    else:
        current = np.broadcast_to(counts_of(x), (neurons.windows, *counts_of(x).shape))
    v = np.full(current.shape[1:], neurons.initial)
    sent = []
    for mixed in np.tensordot(neurons.mixing.astype(np.float64), current, axes=1):
        v, count = neurons.retention * v, np.zeros_like(v)
        for _ in range(neurons.levels):
            v = v + mixed / neurons.levels
            spikes = v >= neurons.threshold
            v = v - neurons.threshold * spikes
            count += spikes
        sent.append(neurons.threshold * count)
    return Windows(np.stack(sent, axis=1))


def _share(found: Windows, wanted: Value, neurons: LmHt) -> float:
    if not isinstance(wanted, Windows):
        raise TypeError(f"{neurons.name} has no windows")
    difference = np.abs(found.values - wanted.values)
    return float(np.mean(difference > neurons.threshold / 2))
