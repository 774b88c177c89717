"""The graph while it is being imported: nodes so far, their shapes, and what they stand for."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from toolchain.ir.ann import Affine, HostOp, Input, Output, Rearrange, Relu, SumPool
from toolchain.ir.node import Array, IndexArray, Node, Shape
from toolchain.ops._layout import Value, composed, compressed, inverse


class GraphBuilder:
    """Nodes in the order they run; each ONNX node is handed in once and never lost.

    Attributes:
        taken: Names that nodes of the graph may not take, besides those it has.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self._nodes: dict[str, Node] = {}
        self._shapes: dict[str, Shape] = {}
        self._passed: dict[str, list[str]] = {}
        self._tail: dict[str, HostOp] = {}
        self._read_by: dict[str, Value] = {}
        self._pinned: set[str] = set()

    def copy(self) -> GraphBuilder:
        """Return a builder that holds the same, and goes on by itself."""
        copied = GraphBuilder(())
        copied.taken = self.taken
        copied._nodes, copied._shapes = dict(self._nodes), dict(self._shapes)
        copied._passed = {name: list(passed) for name, passed in self._passed.items()}
        copied._tail, copied._read_by = dict(self._tail), dict(self._read_by)
        copied._pinned = set(self._pinned)
        return copied

    def __getitem__(self, name: str) -> Node:
        """Return the node called ``name``."""
        return self._nodes[name]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes so far; what the host computes is in `tail`."""
        return tuple(self._nodes.values())

    @property
    def tail(self) -> tuple[HostOp, ...]:
        """What the host computes so far, for all outputs."""
        return tuple(self._tail.values())

    def shape(self, name: str) -> Shape:
        """Return the shape of the output of the node called ``name``."""
        return self._shapes[name]

    def unused(self, wish: str) -> str:
        """Return ``wish``, or the first of ``wish#2``, ``wish#3``, ... that is free."""
        name, count = wish, 1
        while name in self.taken or name in self._nodes:
            count += 1
            name = f"{wish}#{count}"
        return name

    def add(self, node: Node) -> str:
        """Append a node and return its name.

        Raises:
            VerifyError: The shapes of what it reads do not fit it.
        """
        for source in node.inputs:
            self._settle(source)
        self._shapes[node.name] = node.output_shape(*(self._shapes[i] for i in node.inputs))
        self._nodes[node.name] = node
        return node.name

    def pass_on(self, node: str, onnx_name: str) -> None:
        """Note that the ONNX node ``onnx_name`` hands on the values of ``node`` unchanged."""
        self._passed.setdefault(node, []).append(onnx_name)

    def plain(self, value: Value, shape: Shape, reader: str) -> str:
        """Return the name of a node whose output is the value itself, in ``shape``.

        That is the value's own node if possible; else the sample enters the network in that
        order, if only elementwise operations lie between; else a `Rearrange` is made.

        Args:
            value: What is wanted.
            shape: As many elements as the value has.
            reader: Name of the ONNX node that wants it.
        """
        if value.order is None and self._shapes[value.node] == shape:
            return value.node
        elementwise = self._elementwise_from_input(value.node)
        if elementwise:
            for node in elementwise:
                self._replace(_rearranged(node, value.order, shape, self._shapes[node.name]))
            return value.node
        passed = self._passed.pop(value.node, [])
        name = passed[-1] if passed else self.unused(f"{reader}/rearrange")
        return self.add(
            Rearrange(
                name=name,
                inputs=(value.node,),
                origin=tuple(passed) or (reader,),
                shape=shape,
                order=value.order,
            )
        )

    def settled(self, name: str) -> Node:
        """Return the node called ``name``, with all that hands on its values as its origin."""
        self._settle(name)
        return self._nodes[name]

    def drop_unread(self, kept: Iterable[str]) -> None:
        """Remove nodes that nothing reads: others do their work and stand for them.

        Args:
            kept: Names of nodes that are read from outside.
        """
        read = {*kept, *(value.node for value in self._read_by.values())}
        for node in reversed(self.nodes):
            if node.name not in read and not isinstance(node, Input):
                del self._nodes[node.name]
            else:
                read.update(node.inputs)

    def limit(self, value: Value, maximum: float, tensor: str) -> bool:
        """Let neurons saturate, if they are a rectifier's with no readers yet.

        Args:
            value: What one ONNX node is about to read.
            maximum: Upper limit, > 0.
            tensor: Name of the ONNX value that holds what they send then.
        """
        node = self._nodes[value.node]
        if not isinstance(node, Relu) or node.name in self._pinned or self._reads(node):
            return False
        self._nodes[node.name] = dataclasses.replace(
            node,
            maximum=float(np.minimum(node.maximum, maximum)),
            tensor=tensor,
            tensor_order=None if value.order is None else inverse(value.order),
        )
        return True

    def pin(self, node: str) -> None:
        """Keep the layout of the node called ``node``, which several views are of."""
        self._pinned.add(node)

    def take_windows(self, name: str, windows: int) -> None:
        """Take the first axis of the input called ``name`` as that of its windows.

        Args:
            name: Of an `Input` in the order of the sample.
            windows: Length of that axis.
        """
        node = self._nodes[name]
        if not isinstance(node, Input):
            raise TypeError(f"{node.kind} has no windows")
        shape = node.source_shape[1:]
        source = shape if windows > 1 else node.source_shape
        node = dataclasses.replace(node, shape=shape, source_shape=source, windows=windows)
        self._nodes[name], self._shapes[name] = node, shape

    def take_padding(self, name: str) -> tuple[str, SumPool | None]:
        """Let a reader take in the node called ``name`` if that only adds zeros.

        Returns:
            Name of the node to read instead, and the node that the reader stands for then. It
            is removed unless others read it.
        """
        self._settle(name)
        node = self._nodes[name]
        if not isinstance(node, SumPool) or node.kernel != (1, 1) or node.stride != (1, 1):
            return name, None
        if name not in self._pinned:
            del self._nodes[name]
        return node.inputs[0], node

    def add_tail(self, step: HostOp, value: Value, shape: Shape) -> Value:
        """Append an operation that the host runs on ``value``, in the model's own layout.

        Args:
            step: The operation.
            value: What it reads.
            shape: Of what it returns.
        """
        self._settle(value.node)
        self._tail[step.name], self._read_by[step.name] = step, value
        return Value(step.name, shape)

    def on_host(self, value: Value) -> HostOp | None:
        """Return the host's operation that computes ``value``, `None` if the network does."""
        return self._tail.get(value.node)

    def reshape_tail(self, value: Value, shape: Shape) -> bool:
        """Let what the host computes have another shape; return whether that can be said.

        It can where each of its operations treats all elements alike, so that they may as well
        come in that shape, and for an axis that ``argmax`` would otherwise keep.

        Args:
            value: What the host computes.
            shape: Wanted, with as many elements.
        """
        step = self._tail[value.node]
        if shape == value.shape:
            return True
        if step.function == "argmax" and step.keep_axis and step.axis is not None:
            bare = dataclasses.replace(step, keep_axis=False)
            self._tail[step.name] = bare
            return shape == (*value.shape[: step.axis], *value.shape[step.axis + 1 :])
        chain = self._chain(value.node)
        if any(s.axis is not None or s.name in self._pinned for s in chain):
            return False
        first = chain[0].name
        self._read_by[first] = self._read_by[first].reshaped(shape)
        return True

    def finish(self, returned: Sequence[tuple[Value, str, str]]) -> tuple[Node, ...]:
        """Return all nodes, closed by an `Output` for each value that the model returns.

        Rectifiers that nothing but the host reads become the host's, too.

        Args:
            returned: Values, each with its ONNX name and element type.
        """
        for value, _, _ in returned:
            self._settle(value.node)
        chains = [self._chain(value.node) for value, _, _ in returned]
        views = [
            self._read_by[chain[0].name] if chain else value
            for (value, _, _), chain in zip(returned, chains, strict=True)
        ]
        read = Counter(view.node for view in views)
        outputs = []
        for (_, tensor, dtype), chain, view in zip(returned, chains, views, strict=True):
            source, rectifiers = self._without_rectifiers(view.node, read)
            read[source] += source != view.node
            tail = (*rectifiers, *chain)
            output = Output(
                name=self.unused(tensor),
                inputs=(source,),
                origin=tuple(name for step in tail for name in step.origin),
                shape=view.shape,
                tensor=tensor,
                order=view.order,
                tail=tail,
                dtype=dtype,
            )
            self.taken.add(output.name)
            outputs.append(output)
        return (*self.nodes, *outputs)

    def _chain(self, name: str) -> list[HostOp]:
        """Return what the host computes one after the other up to ``name``, if anything."""
        chain: list[HostOp] = []
        while name in self._tail:
            chain.insert(0, self._tail[name])
            name = self._read_by[name].node
        return chain

    def _without_rectifiers(
        self, name: str, read: Mapping[str, int]
    ) -> tuple[str, list[HostOp]]:
        """Remove rectifiers that one output alone reads; return what is before them, and them.

        Args:
            name: Of the node that the output reads.
            read: How many outputs read a node.
        """
        node, left, rectifiers = self._nodes[name], 1, list[HostOp]()
        while (
            isinstance(node, Relu)
            and math.isinf(node.maximum)
            and not self._reads(node)
            and read.get(node.name, 0) == left
        ):
            rectifiers.insert(0, HostOp(name=node.name, origin=node.origin, function="relu"))
            del self._nodes[node.name]
            node, left = self._nodes[node.inputs[0]], 0
        return node.name, rectifiers

    def _elementwise_from_input(self, name: str) -> list[Node]:
        """Return the nodes up to ``name`` if they are the input and elementwise ones.

        Empty, too, where one of them has other readers.
        """
        chain: list[Node] = []
        while True:
            node = self._nodes[name]
            is_elementwise = isinstance(node, (Input, Affine, Relu))
            if not is_elementwise or name in self._pinned or len(self._reads(node)) > 1:
                return []
            chain.insert(0, node)
            if isinstance(node, Input):
                return chain
            (name,) = node.inputs

    def _reads(self, node: Node) -> list[str]:
        """Return the names of the nodes so far that read ``node``."""
        return [other.name for other in self._nodes.values() if node.name in other.inputs]

    def _replace(self, node: Node) -> None:
        self._nodes[node.name] = node
        self._shapes[node.name] = node.output_shape(*(self._shapes[i] for i in node.inputs))

    def _settle(self, name: str) -> None:
        """Write down what handed on the values of the node called ``name`` as its origin."""
        passed = self._passed.pop(name, [])
        if name in self._tail:
            step = self._tail[name]
            self._tail[name] = dataclasses.replace(step, origin=(*step.origin, *passed))
        elif passed:
            node = self._nodes[name]
            self._nodes[name] = dataclasses.replace(node, origin=(*node.origin, *passed))


def _rearranged(node: Node, order: IndexArray | None, shape: Shape, old_shape: Shape) -> Node:
    """Return an input or elementwise node that gives its values in another order and shape."""
    if isinstance(node, Input):
        return dataclasses.replace(node, shape=shape, order=composed(node.order, order))
    if isinstance(node, Affine):
        return dataclasses.replace(
            node,
            scale=_rearranged_array(node.scale, order, shape, old_shape),
            shift=_rearranged_array(node.shift, order, shape, old_shape),
        )
    if isinstance(node, Relu):
        return dataclasses.replace(node, tensor_order=composed(node.tensor_order, order))
    raise TypeError(f"{node.kind} is not elementwise")


def _rearranged_array(
    array: Array, order: IndexArray | None, shape: Shape, old_shape: Shape
) -> Array:
    if array.ndim == 0:
        return array
    flat = np.broadcast_to(array, old_shape).ravel()
    return compressed((flat if order is None else flat[order]).reshape(shape))
