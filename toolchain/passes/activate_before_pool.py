r"""Move max-pooling behind the activation.

The rectifier never decreases, so :math:`\max_i \mathrm{relu}(x_i) = \mathrm{relu}(\max_i x_i)`.
Neurons spike before they are pooled, because spikes can be pooled and membrane potentials
cannot.
"""

from __future__ import annotations

from toolchain.ir.ann import MaxPool, Relu
from toolchain.ir.graph import Graph, Phase
from toolchain.rewriting import Context, compiler_pass, rewrite_each


@compiler_pass("activate-before-pool", phase=Phase.PREPARE)
def activate_before_pool(graph: Graph, _: Context) -> Graph:
    """Exchange every `MaxPool` with the `Relu` that alone reads it."""
    return rewrite_each(graph, MaxPool, _exchange)


def _exchange(graph: Graph, pool: MaxPool) -> Graph:
    activated = isinstance(graph.only_user(pool.name), Relu)
    return graph.exchange(pool.name) if activated else graph
