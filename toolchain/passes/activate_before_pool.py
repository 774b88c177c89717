r"""Move max-pooling behind the activation.

The rectifier never decreases, so :math:`\max_i \mathrm{relu}(x_i) = \mathrm{relu}(\max_i x_i)`;
nor do smooth activations like the sigmoid.
Neurons spike before they are pooled, because spikes can be pooled and membrane potentials
cannot.
"""

from __future__ import annotations

from toolchain.ir.ann import MaxPool, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.smooth import Smooth
from toolchain.rewriting import Context, compiler_pass, rewrite_each
from toolchain.straight_pieces import never_falls


@compiler_pass("activate-before-pool", phase=Phase.PREPARE)
def activate_before_pool(graph: Graph, _: Context) -> Graph:
    """Exchange every `MaxPool` with the activation that alone reads it."""
    return rewrite_each(graph, MaxPool, _exchange)


def _exchange(graph: Graph, pool: MaxPool) -> Graph:
    user = graph.only_user(pool.name)
    passes = isinstance(user, Relu) or (isinstance(user, Smooth) and never_falls(user.curve))
    return graph.exchange(pool.name) if passes else graph
