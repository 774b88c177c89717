"""Which nodes of a model compute something from the sample, and what they read and make.

Unlike the frontend, this looks into graphs that nodes carry (`If`, `Loop`, `Scan`): what those
read from around the node, the node reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from toolchain.frontend.dependence import SHAPE_OPERATORS


@dataclass(frozen=True)
class Step:
    """A node that the answer depends on, and that depends on the sample.

    Attributes:
        name: Of the node.
        place: Number of the node in the model.
        reads: Values from the sample that it reads.
        makes: Values that something reads.
    """

    name: str
    place: int
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class Flow:
    """The way from the sample to the outputs.

    Attributes:
        samples: Names of the inputs.
        outputs: Names of the outputs.
        dependent: Names of all nodes that depend on the sample.
        steps: Those of them that the outputs depend on, in the order they run.
        makers: By value, the step that makes it.
        readers: By value, the steps that read it.
    """

    samples: tuple[str, ...]
    outputs: tuple[str, ...]
    dependent: frozenset[str]
    steps: tuple[Step, ...]
    makers: Mapping[str, Step]
    readers: Mapping[str, Sequence[Step]]

    def __init__(self, graph: onnx.GraphProto, samples: Sequence[str]) -> None:
        self.samples = tuple(samples)
        self.outputs = tuple(value.name for value in graph.output)
        computed = set(samples)
        found: list[tuple[int, onnx.NodeProto, tuple[str, ...]]] = []
        for place, node in enumerate(graph.node):
            reads = tuple(name for name in reads_of(node) if name in computed)
            if reads and node.op_type not in SHAPE_OPERATORS:
                computed.update(filter(None, node.output))
                found.append((place, node, reads))
        self.dependent = frozenset(node.name for _, node, _ in found)
        wanted, steps = set(self.outputs), []
        for place, node, reads in reversed(found):
            makes = tuple(name for name in node.output if name in wanted)
            if makes:
                wanted.update(reads)
                steps.append(Step(node.name, place, reads, makes))
        self.steps = tuple(reversed(steps))
        self.makers = {value: step for step in self.steps for value in step.makes}
        readers: dict[str, list[Step]] = defaultdict(list)
        for step in self.steps:
            for value in step.reads:
                readers[value].append(step)
        self.readers = readers


def reads_of(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the values that a node reads, each once, those of graphs that it carries too."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names.extend(_captured(graph))
    return tuple(dict.fromkeys(names))


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield what a graph reads and does not make."""
    own = {value.name for value in graph.input}
    own.update(tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from (name for name in reads_of(node) if name not in own)
        own.update(node.output)
    yield from (value.name for value in graph.output if value.name not in own)
