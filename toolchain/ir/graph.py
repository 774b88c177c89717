"""An immutable graph of nodes in the order they run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from toolchain.errors import VerifyError
from toolchain.ir.ann import Add, Conv, Dense, Input, MaxPool, Output, Rearrange
from toolchain.ir.node import Node, Shape

N = TypeVar("N", bound=Node)


class Phase(IntEnum):
    """Stages of compilation, in order; a graph has been through the passes of its phase."""

    IMPORT = 0
    PREPARE = 1
    CONVERT = 2
    LOWER = 3
    QUANTIZE = 4


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order, with the ONNX nodes they account for.

    Attributes:
        name: Of the model.
        nodes: Each after those it reads.
        source_nodes: Names of all nodes of the ONNX model.
        constants: Those of them that were computed once and for all on import.
        phase: Whose invariants hold.
    """

    name: str
    nodes: tuple[Node, ...]
    source_nodes: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    phase: Phase = Phase.IMPORT

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the nodes in the order they run."""
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        """Return the node called ``name``."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a node is called ``name``."""
        return name in self._by_name

    @cached_property
    def _by_name(self) -> Mapping[str, Node]:
        by_name = {node.name: node for node in self.nodes}
        if len(by_name) != len(self.nodes):
            names = [node.name for node in self.nodes]
            twice = next(name for name in names if names.count(name) > 1)
            raise VerifyError("two nodes have this name", node=twice)
        return MappingProxyType(by_name)

    @cached_property
    def _users(self) -> Mapping[str, tuple[Node, ...]]:
        users: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for source in node.inputs if len(node.inputs) < 2 else dict.fromkeys(node.inputs):
                users[source] = (*users[source], node) if source in users else (node,)
        return users

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of every node's output, without batch axis.

        Raises:
            VerifyError: A node reads one that comes later or not at all, or shapes do not fit.
        """
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            try:
                read = tuple([shapes[source] for source in node.inputs])
            except KeyError as missing:
                raise VerifyError(
                    f"reads {missing.args[0]!r}, which is not before it", node=node.name
                ) from None
            shapes[node.name] = node.shape_behind(read)
        return MappingProxyType(shapes)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """All inputs, in the order in which a sample holds them."""
        return tuple(sorted(self.of_type(Input), key=lambda node: node.offset))

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """All outputs, in the order of the model."""
        return self.of_type(Output)

    @property
    def input(self) -> Input:
        """The only input.

        Raises:
            VerifyError: There are several.
        """
        return _only(self.inputs)

    @property
    def output(self) -> Output:
        """The only output.

        Raises:
            VerifyError: There are several.
        """
        return _only(self.outputs)

    def of_type(self, kind: type[N]) -> tuple[N, ...]:
        """Return the nodes of class ``kind`` or a subclass, in order."""
        return tuple(node for node in self.nodes if isinstance(node, kind))

    def users(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read the node called ``name``."""
        return self._users.get(name, ())

    def producer(self, node: Node) -> Node:
        """Return the node that ``node``, which has one input, reads."""
        (source,) = node.inputs
        return self[source]

    def feeder(self, node: Node) -> Node | None:
        """Return what ``node`` reads past pools and rearrangements; `None` for inputs."""
        while node.inputs:
            node = self.producer(node)
            if not isinstance(node, (Rearrange, MaxPool)):
                return node
        return None

    def layers_into(self, node: Node) -> tuple[Dense | Conv, ...]:
        """Return the layers whose sum ``node``, neurons or an output, reads.

        Empty where it reads something else.
        """
        source = self.producer(node)
        parts = [self[name] for name in source.inputs] if isinstance(source, Add) else [source]
        layers = tuple(part for part in parts if isinstance(part, (Dense, Conv)))
        return layers if len(layers) == len(parts) else ()

    def pooled_sum(self, node: Node) -> MaxPool | None:
        """Return the max-pool of layers that ``node`` alone reads, if it reads one."""
        pool = self.producer(node)
        is_alone = isinstance(pool, MaxPool) and self.only_user(pool.name) is node
        of_layers = is_alone and isinstance(self.producer(pool), (Dense, Conv, Add))
        return pool if isinstance(pool, MaxPool) and of_layers else None

    def reader_of_sum(self, layer: Node) -> Node | None:
        """Return the node that reads a layer, or the sum it is in, if there is exactly one."""
        user = self.only_user(layer.name)
        return self.only_user(user.name) if isinstance(user, Add) else user

    def only_user(self, name: str) -> Node | None:
        """Return the node that reads ``name`` if there is exactly one."""
        users = self.users(name)
        return users[0] if len(users) == 1 else None

    def swap(self, *nodes: Node) -> Graph:
        """Return the graph with each of ``nodes`` in the place of the one of its name."""
        new = {node.name: node for node in nodes}
        return self.with_nodes([new.get(node.name, node) for node in self.nodes])

    def without(self, name: str) -> Graph:
        """Return the graph without the node ``name``, which nothing reads."""
        return self.with_nodes(node for node in self.nodes if node.name != name)

    def bypass(self, name: str) -> Graph:
        """Return the graph without the one-input node ``name``; its users read its input."""
        (source,) = self[name].inputs
        return self.with_nodes(
            [
                node.reading(name, source) if name in node.inputs else node
                for node in self.nodes
                if node.name != name
            ]
        )

    def exchange(self, name: str) -> Graph:
        """Return the graph with the one-input node ``name`` and its only reader exchanged.

        Nodes keep their names and parameters; what read the second then reads the first.
        """
        first, second = self[name], self.users(name)[0]
        rewired = {first.name: (second.name,), second.name: first.inputs}
        for user in self.users(second.name):
            rewired[user.name] = user.reading(second.name, first.name).inputs
        order = {first.name: second.name, second.name: first.name}
        nodes = (self[order.get(node.name, node.name)] for node in self.nodes)
        return self.with_nodes(
            dataclasses.replace(node, inputs=rewired.get(node.name, node.inputs))
            for node in nodes
        )

    def unused(self, wish: str) -> str:
        """Return ``wish``, or the first of ``wish2``, ``wish3``, ... that names no node yet."""
        name, count = wish, 1
        while name in self:
            count += 1
            name = f"{wish}{count}"
        return name

    def insert_before(self, name: str, *nodes: Node) -> Graph:
        """Return the graph with ``nodes`` directly before the one called ``name``."""
        place = self.nodes.index(self[name])
        return self.with_nodes((*self.nodes[:place], *nodes, *self.nodes[place:]))

    def insert_behind(self, name: str, *nodes: Node) -> Graph:
        """Return the graph with ``nodes`` directly behind the one called ``name``."""
        place = self.nodes.index(self[name]) + 1
        return self.with_nodes((*self.nodes[:place], *nodes, *self.nodes[place:]))

    def redirect(self, name: str, readers: Iterable[str], to: str) -> Graph:
        """Return the graph in which ``readers`` of the node ``name`` read ``to`` instead."""
        return self.swap(*(self[reader].reading(name, to) for reader in readers))

    def at_phase(self, phase: Phase) -> Graph:
        """Return the graph marked as having passed ``phase``."""
        return dataclasses.replace(self, phase=phase)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        """Return the graph with other nodes."""
        return dataclasses.replace(self, nodes=tuple(nodes))


def _only(ends: tuple[N, ...]) -> N:
    if len(ends) != 1:
        raise VerifyError(
            f"is one of {len(ends)} {ends[1].kind} nodes, where one is taken", node=ends[1].name
        )
    return ends[0]
