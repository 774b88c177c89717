"""What a twin is made of, decided before it is written: a form for every population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from targets.twin.ends import input_signal
from targets.twin.quantized import Quantized
from targets.twin.signals import Signal
from targets.twin.windowed import Windowed, form_of
from toolchain.bounds import Layer
from toolchain.ir.ann import Input, MaxPool, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node
from toolchain.ir.snn import Spiking


@dataclass(frozen=True, eq=False)
class Layout:
    """How a network is written.

    Attributes:
        graph: After `Phase.QUANTIZE`.
        values: Name in the model of every node's output.
        signals: What inputs, populations, pools and rearrangements send, by node.
        forms: Every population as quantized layers, or why it is written as plain sums.
    """

    graph: Graph
    values: Mapping[str, str]
    signals: Mapping[str, Signal]
    forms: Mapping[str, Quantized | Windowed | str]

    def layers_into(self, node: Node) -> tuple[tuple[Layer, ...], tuple[Signal, ...]]:
        """Return the layers that ``node`` sums, and what each of them reads."""
        layers = self.graph.layers_into(node)
        return layers, tuple(self.signals[layer.inputs[0]] for layer in layers)

    def is_limited_late(self, node: Node) -> bool:
        """Tell whether what ``node`` sends is limited at the highest level behind a pool.

        The largest of limited counts is the limited largest count, and there are fewer of it.
        """
        is_only_pooled = isinstance(self.graph.only_user(node.name), MaxPool)
        return isinstance(self.forms.get(node.name), Quantized) and is_only_pooled


def lay_out(
    graph: Graph, *, exact_sums: frozenset[str] = frozenset(), only: str | None = None
) -> Layout:
    """Choose the form of every population.

    Args:
        graph: After `Phase.QUANTIZE`.
        exact_sums: Populations to write as plain sums, whatever else is possible.
        only: Population whose form alone is needed; `None` for all.
    """
    values = {node.name: f"{number}/{node.name}" for number, node in enumerate(graph)}
    signals: dict[str, Signal] = {}
    forms: dict[str, Quantized | Windowed | str] = {}
    layout = Layout(graph, values, signals, forms)
    for node in graph:
        if isinstance(node, Input):
            signals[node.name] = input_signal(node, values[node.name])
        elif isinstance(node, Spiking):
            if node.name in exact_sums:
                forms[node.name] = "asked for"
            elif only in (None, node.name):
                forms[node.name] = form_of(node, *layout.layers_into(node))
            shape = graph.shapes[node.name]
            signals[node.name] = Signal(values[node.name], shape, 0, node.levels)
        elif isinstance(node, (MaxPool, Rearrange)):
            read = signals[node.inputs[0]]
            shape = graph.shapes[node.name]
            signals[node.name] = Signal(values[node.name], shape, read.low, read.high)
    return layout
