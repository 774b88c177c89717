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
"""

from __future__ import annotations

import dataclasses

from toolchain.ir.ann import MaxPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.snn import IntegrateFire, MultiThreshold, OrPool, Spiking, ThresholdBank
from toolchain.rewriting import Context, compiler_pass

LOWERINGS: dict[str, type[Spiking]] = {"temporal": IntegrateFire, "spatial": ThresholdBank}


@compiler_pass("lower-neurons", phase=Phase.LOWER)
def lower_neurons(graph: Graph, context: Context) -> Graph:
    """Replace `MultiThreshold` by what the lowering has for it, and `MaxPool` by `OrPool`."""
    if not graph.of_type(MultiThreshold):
        return graph
    return graph.with_nodes(_lowered(node, LOWERINGS[context.lowering]) for node in graph)


def _lowered(node: Node, neurons: type[Spiking]) -> Node:
    if isinstance(node, MultiThreshold):
        return _as(neurons, node)
    return _as(OrPool, node) if isinstance(node, MaxPool) else node


def _as(kind: type[Node], node: Node) -> Node:
    """Return a node of class ``kind`` with the fields of ``node``."""
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return kind(**fields)
