r"""Merge the windows of LM-HT neurons that mix evenly: T windows of L levels are one of L T.

Let all entries of a layer's mixing matrix be :math:`w`, its retention 1 and
:math:`0 \le v(0) < \theta`. Its input current is then the same in every window,

.. math::
    a = w \sum_j x(j) = w \Bigl( W \sum_j y(j) + T b \Bigr),

and so, with :math:`m(t) = v(t-1) + a`, its total spike count is

.. math::
    N = \sum_t n(t)
      = \mathrm{clip} \Bigl( \Bigl\lfloor \frac{v(0) + T a}{\theta} \Bigr\rfloor, 0, L T \Bigr).

*Proof:* for :math:`0 \le a < L \theta` by induction :math:`0 \le v(t) < \theta`, because
:math:`0 \le m(t) < (L + 1) \theta` needs no more than :math:`L` spikes; so
:math:`v(0) + T a = N \theta + v(T)` with a rest below a threshold. For :math:`a < 0` potentials
stay below :math:`\theta` and nothing is sent; for :math:`a \ge L \theta` they never fall below
:math:`L \theta` before a comparison, and all windows send :math:`L`. Both are what the clip
says.

Behind evenly mixing neurons only totals count, :math:`Y = \sum_j y(j)`, and
:math:`T a = (T w) (W Y + T b)`. So a layer becomes one of a single window, with :math:`L T`
levels, mixing :math:`T w`, the weights :math:`W`, and the bias :math:`T b`. The first layer
reads the static sample :math:`x(j) = W x + b` instead of a total, so that its weights, too,
become :math:`T W`. The outputs are the mean over windows, :math:`W Y / T + b`: the last layer
takes weights :math:`W / T`.

It takes all layers to agree. A pool between them is in the way as well: the total of the
largest counts of each window is not the largest of the totals.

Source: Hao et al., "LM-HT SNN", NeurIPS 2024, theorem 4.2 (ii).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from toolchain.ir.ann import Conv, Dense, Input, MaxPool
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Node
from toolchain.ir.snn import LmHt
from toolchain.rewriting import Context, compiler_pass


@compiler_pass("merge-windows", phase=Phase.CONVERT)
def merge_windows(graph: Graph, _: Context) -> Graph:
    """Make one window of all where every layer treats them alike; else leave the graph."""
    neurons = graph.of_type(LmHt)
    windows = {node.windows for node in neurons}
    if len(windows) != 1 or windows == {1} or any(node.windows > 1 for node in graph.inputs):
        return graph
    if graph.of_type(MaxPool) or not all(map(_mixes_evenly, neurons)):
        return graph
    return graph.with_nodes(_merged(graph, node, *windows) for node in graph)


def _mixes_evenly(node: LmHt) -> bool:
    is_even = bool(np.all(node.mixing == node.mixing.flat[0]))
    return is_even and node.retention == 1 and 0 <= node.initial < node.threshold


def _merged(graph: Graph, node: Node, windows: int) -> Node:
    if isinstance(node, LmHt):
        mixing = windows * node.mixing[:1, :1].astype(np.float64)
        return dataclasses.replace(node, levels=windows * node.levels, mixing=mixing)
    if not isinstance(node, (Dense, Conv)):
        return node
    weight, bias = (np.asarray(value, np.float64) for value in (node.weight, node.bias))
    if not isinstance(graph.reader_of_sum(node), LmHt):
        return dataclasses.replace(node, weight=weight / windows)
    if isinstance(graph.feeder(node), Input):
        weight = weight * windows
    return dataclasses.replace(node, weight=weight, bias=bias * windows)
