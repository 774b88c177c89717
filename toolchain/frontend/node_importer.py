"""One node after the other, from ONNX to primitives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import onnx

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.batch import SAMPLES, Batch
from toolchain.frontend.constants import Resolved
from toolchain.frontend.dependence import count_readers, nodes_at_end
from toolchain.frontend.functions import EXIT, importer_name, is_exit
from toolchain.frontend.model_file import ModelFile, schema_of
from toolchain.ir.ann import Input, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node, Shape
from toolchain.ir.smooth import Smooth
from toolchain.ir.snn import LmHt
from toolchain.ops import IMPORTERS, Call, Value
from toolchain.ops._builder import GraphBuilder
from toolchain.ops._call import Constant
from toolchain.ops._call import Input as CallInput
from toolchain.straight_pieces import becomes_lines


class NodeImporter:
    """Imports the nodes of a model, each after those it reads.

    Attributes:
        builder: Holds what they have become so far.
        values: By name of the ONNX value.
    """

    def __init__(
        self,
        file: ModelFile,
        samples: Iterable[str],
        nodes: Sequence[onnx.NodeProto],
        known: Resolved,
    ) -> None:
        self._file, self._known = file, known
        self._batch = Batch(file, known)
        self._readers = count_readers(file.proto.graph, nodes)
        self._averaged: set[str] = set()
        self._at_end = nodes_at_end(nodes)
        self._elements = self._entered = 0
        self.builder = GraphBuilder(taken=[node.name for node in file.proto.graph.node])
        self.values: dict[str, Value] = {}
        for sample in samples:
            self.enter(sample)

    def enter(self, value: str) -> None:
        """Take an ONNX value as one that comes from outside."""
        shape = (self._known.shape(value) or ())[1:]
        entry = Input(
            name=self.builder.unused(value),
            shape=shape,
            source_shape=shape,
            tensor=value,
            dtype=self._known.dtype(value),
            offset=self._entered,
        )
        self._entered += math.prod(shape)
        self._learn({value: Value(self.builder.add(entry), shape)})

    def stand_in(self, node: onnx.NodeProto) -> bool:
        """Put a rectifier in the place of a node that cannot be imported.

        What it computes is wrong then, and where it stands is right: the network around it can
        be looked at as if it were an activation.

        Returns:
            Whether the node reads one value from the sample and makes one of the same shape, as
            an activation does; nothing is done if not.
        """
        read = [self.values[name] for name in node.input if name in self.values]
        shape = self._known.shape(node.output[0]) if len(node.output) == 1 else None
        if len(read) != 1 or shape is None or shape[1:] != read[0].shape:
            return False
        if self.builder.on_host(read[0]) is not None:
            return False
        name = self.builder.unused(f"{node.name}/stand-in")
        made = Relu(name=name, inputs=(read[0].node,), origin=(node.name,))
        self._learn({node.output[0]: read[0].moved_to(self.builder.add(made))})
        return True

    def visit(self, node: onnx.NodeProto) -> None:
        """Import a node.

        Raises:
            ImportModelError: It is inconsistent.
            UnsupportedOpError: It cannot be said in primitives.
        """
        if self.values.keys().isdisjoint(node.input):
            raise ImportModelError(
                "reads nothing that depends on the network's input", node=node.name
            )
        call = self._call(node)
        made = IMPORTERS[importer_name(node)](call)
        outputs = _outputs_of(call, made, self._known, self._readers)
        for name in outputs:
            _require_samples_apart(call, name, self._batch.shape(node, name))
        is_behind_exit = not self._averaged.isdisjoint(node.input)
        if is_behind_exit:
            _require_host(call, outputs[call.output])
        if is_behind_exit or is_exit(node):
            self._averaged.update(outputs)
        self._learn(outputs)

    def finish(self) -> Graph:
        """Return the graph, when all nodes have been imported.

        Raises:
            UnsupportedOpError: Analogue and spiking activations are mixed, or what nodes
                compute elementwise becomes no line far out.
        """
        graph = self._file.proto.graph
        names = [output.name for output in graph.output]
        self.builder.drop_unread(self.values[name].node for name in names)
        _refuse_endless_curves(self.builder.nodes)
        finished = self.builder.finish(
            [(self.values[name], name, self._known.dtype(name)) for name in names]
        )
        _refuse_mixture(finished)
        return Graph(
            name=self._file.path.stem,
            nodes=finished,
            source_nodes=tuple(node.name for node in graph.node),
            constants=tuple(self._known.folded),
        )

    def _call(self, node: onnx.NodeProto) -> Call:
        known = self._known
        inputs: list[CallInput] = []
        for name in node.input:
            if name in self.values:
                inputs.append(self.values[name])
            else:
                inputs.append(Constant(name, known.constants[name]) if name else None)
        return Call(
            node=node,
            name=node.name,
            schema=schema_of(node, self._file.opset),
            inputs=tuple(inputs),
            dtypes=tuple(known.dtype(name) if name else "" for name in node.input),
            output_shapes=tuple(
                self._shape(node, name, is_needed=index == 0 or self._readers[name] > 0)
                for index, name in enumerate(node.output)
                if name
            ),
            builder=self.builder,
            is_at_end=node.name in self._at_end,
        )

    def _shape(self, node: onnx.NodeProto, output: str, *, is_needed: bool) -> Shape:
        """Return the shape of an output without its batch axis; ``()`` if nothing needs it.

        Raises:
            ImportModelError: It is not known, or too large.
        """
        shape = self._known.shape(output)
        if not is_needed and shape is None:
            return ()
        if shape is None or 0 in shape:
            read = next((name for name in node.input if name in self.values), "")
            raise ImportModelError(
                f"{node.op_type} has an output whose shape does not follow from that of its "
                f"input, {self._known.shape(read)}",
                node=node.name,
                hint="use a larger input or a smaller kernel, and fixed shapes",
            )
        self._elements += math.prod(shape)
        if self._elements > self._file.limits.elements:
            raise ImportModelError(
                f"{node.op_type} makes {math.prod(shape)} elements of one sample; "
                f"{self._file.limits.elements} are supported for all nodes together",
                node=node.name,
                hint="use a smaller input, or raise the limit with --max-elements",
            )
        return shape[1:]

    def _learn(self, made: Mapping[str, Value]) -> None:
        """Keep values, and the layout of those that several nodes read: each has its view."""
        self.values.update(made)
        for name, value in made.items():
            if self._readers[name] > 1:
                self.builder.pin(value.node)


def _outputs_of(
    call: Call, made: Value | tuple[Value, ...], known: Resolved, readers: Mapping[str, int]
) -> dict[str, Value]:
    """Return by name what the importer has made of the outputs that are read."""
    made = made if isinstance(made, tuple) else (made,)
    names = [name for name in call.node.output if name]
    unknown = [name for name in names[len(made) :] if readers[name]]
    if unknown:
        call.refuse(
            f"computes {unknown[0]!r} besides its first output, and something reads it",
            "drop the additional output",
        )
    _require_batch(call, [known.shape(name) or () for name in names[: len(made)]])
    for value, shape in zip(made, call.output_shapes, strict=False):
        _require_size(call, value, shape)
    return dict(zip(names, made, strict=False))


def _require_host(call: Call, value: Value) -> None:
    """Refuse what comes after the mean over the windows unless the host computes it."""
    is_host = call.builder.on_host(value) is not None
    is_passed = any(isinstance(x, Value) and x.node == value.node for x in call.inputs)
    call.require(
        is_host or is_passed or isinstance(call.builder[value.node], Relu),
        f"stands after {EXIT}, where only the host computes",
        f"let {EXIT} be the last node, or the last before a softmax",
    )


def _refuse_mixture(nodes: Sequence[Node]) -> None:
    """Refuse a rectifier between trained neurons: nothing says when its neurons would fire."""
    relu = next((node for node in nodes if isinstance(node, (Relu, Smooth))), None)
    if relu is not None and any(isinstance(node, LmHt) for node in nodes):
        raise UnsupportedOpError(
            "is an analogue activation in a network of trained spiking neurons; all are one or "
            "the other",
            node=relu.origin[0],
            hint="train it as MultiThreshold, too",
        )


def _refuse_endless_curves(nodes: Sequence[Node]) -> None:
    """Refuse functions that straight pieces cannot follow: squares, roots, logarithms."""
    for node in nodes:
        if isinstance(node, Smooth) and not becomes_lines(node.curve):
            raise UnsupportedOpError(
                f"makes {node.curve} of a value, which becomes no line on both sides, so that "
                "no number of rectifiers follows it",
                node=node.origin[-1],
                hint="a spike cannot scale another: compute it before or behind the network, "
                "or train without it",
            )


def _require_batch(call: Call, shapes: Sequence[Shape]) -> None:
    for shape in shapes:
        call.require(
            shape[:1] == (1,),
            f"makes {shape} of a batch of one sample; the batch axis must stay the first",
            "rearrange within the sample only",
        )


def _require_samples_apart(call: Call, name: str, shape: Shape | None) -> None:
    """Refuse what does not treat each sample of a batch for itself.

    Args:
        call: That computes it.
        name: Of the value.
        shape: For `SAMPLES` samples; ``()`` if it cannot be computed, `None` if not known.
    """
    wanted = (SAMPLES, *call.output_shapes[list(call.node.output).index(name)])
    found = f"makes {shape}" if shape else "makes nothing"
    call.require(
        shape is None or shape == wanted,
        f"{found} of a batch of {SAMPLES} samples, and not {wanted}; each must be treated for "
        "itself",
        "export the model with a first axis of length 1 if it takes one at a time",
    )


def _require_size(call: Call, value: Value, shape: Shape) -> None:
    """Refuse what differs from what ONNX infers: one of the two has misunderstood the node."""
    made = value.shape
    if call.builder.on_host(value) is None:
        made = call.builder.shape(value.node)
    if value.shape != shape or math.prod(made) != value.size:
        raise ImportModelError(
            f"{call.op_type} becomes {made}, seen as {value.shape}, and onnx infers {shape}",
            node=call.name,
        )
