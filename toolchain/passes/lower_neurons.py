r"""Lower multi-threshold neurons to single-threshold ones, exactly.

Temporal: a neuron integrates its whole window without firing, then compares and subtracts
:math:`L` times. *Claim:* it spikes in the first :math:`n` of the :math:`L` steps and in no
other, with :math:`n = \mathrm{clip}(\lfloor m / \theta \rfloor, 0, L)`. *Proof:* after
:math:`k` spikes the potential is :math:`m - k \theta`, so step :math:`k + 1` spikes iff
:math:`m \ge (k + 1) \theta`, that is iff :math:`k + 1 \le \lfloor m / \theta \rfloor`; a silent
step changes nothing, so all later ones are silent. It holds for any sign and size of :math:`m`.

Spatial: copy :math:`k` of a neuron, :math:`k = 1 .. L`, spikes iff :math:`m \ge k \theta`. The
number of copies that spike is the number of :math:`k \le L` with :math:`k \le m / \theta`, the
same :math:`n`, and they are the first :math:`n`.

Either way the spikes are *sorted*, so that max-pooling may be done on single spikes: position
:math:`k` of the pooled train is the OR of the positions :math:`k`, which is set iff
:math:`k \le \max n`.

Radix: with :math:`B` binary places, :math:`L < 2^B`, a neuron that starts from
:math:`r = \min(m, L \theta)` compares with :math:`2^k \theta`, :math:`k = B - 1 .. 0`, and
subtracts it where it spikes. *Claim:* the spikes are the places of :math:`n`. *Proof:*
:math:`r < 2^B \theta`; if :math:`r < 2^{k + 1} \theta` before place :math:`k`, then after it
:math:`r < 2^k \theta`, whether it spiked or not, and never below 0 if it was not. So in the end
:math:`m` less what the spikes are worth is below :math:`\theta`, and at least 0 unless :math:`m
< 0`, where none spiked.

Binary numbers are compared from the highest place on: an input that has a 0 where another,
equal so far, has a 1 is smaller and drops out, so the OR over those that are left is the place
of the largest. Any number of levels is possible; :math:`2^B - 1` use the places best.
"""

from __future__ import annotations

import dataclasses

from toolchain.ir.ann import MaxPool
from toolchain.ir.arrival import input_waits
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.snn import (
    IntegrateFire,
    MultiThreshold,
    OrPool,
    RadixFire,
    RadixPool,
    Spiking,
    ThresholdBank,
)
from toolchain.rewriting import Context, compiler_pass

LOWERINGS: dict[str, tuple[type[Spiking], type[MaxPool]]] = {
    "temporal": (IntegrateFire, OrPool),
    "spatial": (ThresholdBank, OrPool),
    "radix": (RadixFire, RadixPool),
}
"""Neurons and pools by the name of the lowering."""


@compiler_pass("lower-neurons", phase=Phase.LOWER)
def lower_neurons(graph: Graph, context: Context) -> Graph:
    """Replace `MultiThreshold` and `MaxPool` by what the lowering has for them."""
    if not graph.of_type(MultiThreshold):
        return graph
    neurons, pools = LOWERINGS[context.lowering]
    lowered = graph.with_nodes(_lowered(node, neurons, pools) for node in graph)
    banks = lowered.of_type(ThresholdBank)
    if any(node.windows > 1 for node in banks) or input_waits(graph):
        return lowered.swap(*(dataclasses.replace(node, gathers=True) for node in banks))
    return lowered


def _lowered(node: Node, neurons: type[Spiking], pools: type[MaxPool]) -> Node:
    if isinstance(node, MultiThreshold):
        return _as(neurons, node)
    return _as(pools, node) if isinstance(node, MaxPool) else node


def _as(kind: type[Node], node: Node) -> Node:
    """Return a node of class ``kind`` with the fields of ``node``."""
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return kind(**fields)
