"""What is known of a model's values whatever its nodes are: types, constants, batch axes.

A value can go from one segment to another, sample by sample, if its first axis is that of the
batch. Whether it is follows from the types for one sample and for two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.helper
import onnx.shape_inference

from toolchain.errors import CompileError
from toolchain.frontend.constants import (
    Resolved,
    learn_initializer,
    learn_node,
    operands_of,
)
from toolchain.frontend.dependence import SHAPE_OPERATORS
from toolchain.frontend.importing import bind_batches, inputs_of
from toolchain.frontend.model_file import ModelFile
from toolchain.ir.node import Array, Shape
from toolchain.partial.dataflow import Flow

_FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Values:
    """Types and constants of a model.

    Attributes:
        samples: Names of the inputs.
        has_fixed_batch: Whether the model takes one sample at a time.
        one: What is known for a batch of one sample.
        two: For two; the same as ``one`` where the model takes one at a time.
    """

    samples: tuple[str, ...]
    has_fixed_batch: bool
    one: Resolved
    two: Resolved

    def shape(self, value: str) -> Shape | None:
        """Return the shape of one sample of a value; `None` if its first axis is no batch's."""
        one, two = self.one.shape(value), self.two.shape(value)
        if not one or one[0] != 1 or 0 in one:
            return None
        return one[1:] if self.has_fixed_batch or two == (2, *one[1:]) else None

    def size(self, value: str) -> int:
        """Return the number of elements of one sample of a value, as far as it is known."""
        return math.prod(self.shape(value) or ())

    def is_port(self, value: str) -> bool:
        """Tell whether a chip segment can begin or end with a value."""
        if value in self.samples:
            return True
        return bool(self.shape(value)) and self.one.dtype(value) in _FLOATS

    def constant(self, value: str) -> tuple[Array, bool] | None:
        """Return a constant and whether it is the same for any batch; `None` if unknown."""
        if value not in self.one.constants:
            return None
        array, other = self.one.constants[value], self.two.constants.get(value)
        return array, other is not None and np.array_equal(array, other)


def values_of(file: ModelFile) -> Values:
    """Return what is known of all values, as far as ONNX can tell.

    Raises:
        ImportModelError: An input is of no shape or type that a network can have.
    """
    samples, has_fixed_batch = bind_batches(file.proto.graph, file.path, file.limits)
    one = _resolved(file, samples)
    two = one
    if not has_fixed_batch:
        for sample in samples:
            sample.type.tensor_type.shape.dim[0].dim_value = 2
        two = _resolved(file, samples)
    return Values(tuple(sample.name for sample in samples), has_fixed_batch, one, two)


def _resolved(file: ModelFile, samples: Sequence[onnx.ValueInfoProto]) -> Resolved:
    known = Resolved()
    for sample in samples:
        known.types[sample.name] = onnx.TypeProto()
        known.types[sample.name].CopyFrom(sample.type)
    graph = file.proto.graph
    operands = operands_of(graph)
    for tensor in graph.initializer:
        try:
            learn_initializer(known, tensor, operands)
        except CompileError:  # only the chip asks for finite numbers
            known.types[tensor.name] = onnx.helper.make_tensor_type_proto(
                tensor.data_type, list(tensor.dims)
            )
    flow = Flow(graph, [sample.name for sample in samples])
    for node in graph.node:
        _learn(known, node, file, is_dependent=node.name in flow.dependent)
    if any(known.shape(value) is None for value in flow.makers):
        _complete(known, file, samples)
    return known


def _learn(
    known: Resolved, node: onnx.NodeProto, file: ModelFile, *, is_dependent: bool
) -> None:
    """Learn what a node makes; of one that ONNX cannot tell, nothing."""
    is_about_shape = is_dependent or node.op_type in SHAPE_OPERATORS
    needed = known.types if is_about_shape else known.constants
    if not all(name in needed for name in node.input if name):
        return
    try:
        learn_node(known, node, file, is_dependent=is_dependent)
    except CompileError:
        return


def _complete(known: Resolved, file: ModelFile, samples: Sequence[onnx.ValueInfoProto]) -> None:
    """Learn what follows only from all nodes together, as with graphs that nodes carry."""
    model = onnx.ModelProto()
    model.CopyFrom(file.proto)
    for value, sample in zip(inputs_of(model.graph), samples, strict=True):
        value.type.CopyFrom(sample.type)
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return
    for value in (*inferred.value_info, *inferred.output):
        if known.shape(value.name) is None:
            known.types[value.name] = value.type
