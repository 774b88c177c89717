"""What becomes of the batch axis, where a model takes any number of samples.

Nodes are imported for one sample, and a batch of one hides what is done to its axis: the first
sample of many is all there is, and samples may as well be rows of one matrix. So shapes are
inferred for seven samples, too, and constants that are made of shapes are computed for them.
"""

from __future__ import annotations

import onnx
import onnx.helper

from toolchain.errors import CompileError
from toolchain.frontend.constants import Resolved, learn_node
from toolchain.frontend.functions import is_function
from toolchain.frontend.model_file import ModelFile
from toolchain.ir.node import Shape

SAMPLES = 7
"""Samples of the batch that is looked at; a number that models hardly mean by itself."""


class Batch:
    """Shapes of a model's values for a batch of samples, inferred as far as they are asked for.

    Args:
        file: The model.
        known: Of its values for one sample; may still grow.
    """

    def __init__(self, file: ModelFile, known: Resolved) -> None:
        self._file, self._single = file, known
        self._known = Resolved(_batched_inputs(file.proto.graph))
        self._left = iter(file.proto.graph.node if self._known.types else ())
        self._changing = set(self._known.types)

    def shape(self, node: onnx.NodeProto, output: str) -> Shape | None:
        """Return the shape of a node's output, ``()`` if it cannot run for several samples.

        `None` where the model takes one sample at a time anyway, or nothing can be inferred.
        """
        for place in self._left:
            if not self._changing.isdisjoint(place.input):
                self._learn(place)
            if place.name == node.name:
                break
        return self._known.shape(output)

    def _learn(self, node: onnx.NodeProto) -> None:
        self._changing.update(node.output)
        if is_function(node):  # ours, which are written for one sample and any batch
            for name in self._single.types.keys() & set(node.output):
                self._known.types[name] = _of_batch(self._single.types[name])
            return
        for name in node.input:
            if name not in self._changing and name in self._single.types:
                self._known.types[name] = self._single.types[name]
            if name not in self._changing and name in self._single.constants:
                self._known.constants[name] = self._single.constants[name]
        try:
            is_dependent = self._single.constants.keys().isdisjoint(node.output)
            learn_node(self._known, node, self._file, is_dependent=is_dependent)
        except (CompileError, KeyError):
            for name in node.output:
                self._known.types[name] = onnx.helper.make_tensor_type_proto(1, ())


def _batched_inputs(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """Return the types of the inputs with several samples, nothing if they take one."""
    weights = {tensor.name for tensor in graph.initializer}
    types: dict[str, onnx.TypeProto] = {}
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name in weights:
            continue
        if not sizes or sizes[0].HasField("dim_value"):
            return {}
        types[value.name] = _of_batch(value.type)
    return types


def _of_batch(kind: onnx.TypeProto) -> onnx.TypeProto:
    """Return the type with its first axis as long as the batch."""
    batched = onnx.TypeProto()
    batched.CopyFrom(kind)
    batched.tensor_type.shape.dim[0].dim_value = SAMPLES
    return batched
