"""Types of all values, and the values of those that do not depend on the sample.

Nodes are visited in the order they run. ONNX infers the type of what each computes; where all
it reads is constant, or where it asks for a shape, ONNX's own reference evaluator computes it.
A model can ask for any amount of work in a few bytes, so only operators whose work is bounded
by what they read and write are computed, and only while that is little enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from onnx.reference import ReferenceEvaluator

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.functions import function_types, is_function
from toolchain.frontend.model_file import ModelFile, schema_of
from toolchain.frontend.skeleton import LARGEST_KNOWN
from toolchain.ir.node import Array
from toolchain.limits import Limits
from toolchain.ops import FOLDED
from toolchain.ops._call import dtype_name

_LARGEST_RANK = 32
"""Axes of one value that are supported: as many as NumPy's arrays have in every version."""

_PRODUCTS_PER_ELEMENT = 64
"""Multiplications that take as long as making one element."""

_EVALUATED_AS = {"DequantizeLinear": 21, "QuantizeLinear": 21}
"""Oldest opset in which onnx computes an operator that means the same in older ones."""


@dataclass(frozen=True, eq=False)
class Resolved:
    """What is known of a model's values before any sample is there.

    Attributes:
        types: By name of the value; with the batch axis, of length 1.
        constants: By name of the value.
        folded: Names of the nodes that were computed, or of which only the shape is read, each
            with the number of elements that it and those before it made.
    """

    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)

    def shape(self, value: str) -> tuple[int, ...] | None:
        """Return the shape of a value with its batch axis, `None` if it is not known."""
        if value not in self.types or not self.types[value].tensor_type.HasField("shape"):
            return None
        tensor = self.types[value].tensor_type
        sizes = [
            size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim
        ]
        return None if min(sizes, default=0) < 0 else tuple(sizes)

    def dtype(self, value: str) -> str:
        """Return the name of the element type of a value."""
        return dtype_name(self.types[value].tensor_type.elem_type)

    def is_half(self, value: str) -> bool:
        """Tell whether the elements of a value are known to be float16."""
        return value in self.types and self.dtype(value) == "float16"


def resolve(
    file: ModelFile,
    samples: Iterable[onnx.ValueInfoProto],
    line: Collection[onnx.NodeProto],
) -> Resolved:
    """Compute what does not depend on the sample, and infer the types of the rest.

    Args:
        file: The model.
        samples: Inputs that carry the sample, with a batch axis of length 1.
        line: The nodes that depend on the sample.

    Raises:
        ImportModelError: ONNX finds a node inconsistent, or constants are not finite or too
            large; it names the node or initializer.
        UnsupportedOpError: A constant comes from an operator that is not computed on import.
    """
    known = Resolved({sample.name: sample.type for sample in samples})
    operands = operands_of(file.proto.graph)
    for tensor in file.proto.graph.initializer:
        learn_initializer(known, tensor, operands)
    dependent = {node.name for node in line}
    for node in file.proto.graph.node:
        learn_node(known, node, file, is_dependent=node.name in dependent)
    return known


def learn_initializer(
    known: Resolved, tensor: onnx.TensorProto, operands: Collection[str]
) -> None:
    """Take the elements of an initializer; those of ``operands`` must be finite.

    Raises:
        ImportModelError: They are not, or do not fit its shape; it names the initializer.
    """
    _learn(known, tensor.name, _initializer(tensor, finite=tensor.name in operands))


def learn_node(
    known: Resolved, node: onnx.NodeProto, file: ModelFile, *, is_dependent: bool
) -> None:
    """Infer the types of what a node computes; compute it unless it depends on the sample.

    Raises:
        ImportModelError: As `resolve`.
        UnsupportedOpError: As `resolve`.
    """
    types = _infer(known, node, file.opset)
    _require_few_axes(node, types)
    if is_dependent:
        known.types.update(types)
    else:
        _fold(known, node, types, file)


def leave_out(known: Resolved, names: Iterable[str]) -> None:
    """Take nodes of which only the shape is read, so that nothing is left, for folded."""
    known.folded.update(dict.fromkeys(names, _made(known)))


def _require_few_axes(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> None:
    for kind in types.values():
        axes = len(kind.tensor_type.shape.dim)
        if axes > _LARGEST_RANK:
            raise ImportModelError(
                f"{node.op_type} makes a value of {axes} axes; {_LARGEST_RANK} are supported",
                node=node.name,
            )


def operands_of(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the names of values that are computed with; not what only limits others."""
    return frozenset(
        name for n in graph.node for name in (n.input[:1] if n.op_type == "Clip" else n.input)
    )


def _initializer(tensor: onnx.TensorProto, *, finite: bool) -> Array:
    try:
        array: Array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError):
        raise ImportModelError(
            f"has shape {tuple(tensor.dims)}, which does not fit the elements in the file",
            node=tensor.name,
            hint="export the model again",
        ) from None
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ImportModelError(
            f"has {count} of {array.size} elements that are not finite",
            node=tensor.name,
            hint="train the model again: its weights overflowed",
        )
    return array


def _learn(known: Resolved, name: str, array: Array) -> None:
    known.constants[name] = array
    code = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    known.types[name] = onnx.helper.make_tensor_type_proto(code, array.shape)


def _infer(known: Resolved, node: onnx.NodeProto, opset: int) -> Mapping[str, onnx.TypeProto]:
    """Return the types of what a node computes, as ONNX infers them."""
    if is_function(node):
        return function_types(node, known.types)
    small = {
        name: onnx.numpy_helper.from_array(known.constants[name], name)
        for name in node.input
        if name in known.constants and known.constants[name].size <= LARGEST_KNOWN
    }
    try:
        return dict(
            onnx.shape_inference.infer_node_outputs(
                schema_of(node, opset),
                node,
                {name: known.types[name] for name in node.input if name},
                small,
                opset_imports=[onnx.helper.make_opsetid("", opset)],
            )
        )
    except (
        onnx.shape_inference.InferenceError,
        onnx.checker.ValidationError,
        RuntimeError,
        ValueError,
    ) as error:
        raise ImportModelError(
            f"{node.op_type} is inconsistent, says onnx: {str(error).strip().splitlines()[0]}",
            node=node.name,
        ) from None


def _fold(
    known: Resolved, node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto], file: ModelFile
) -> None:
    if node.op_type not in FOLDED:
        raise UnsupportedOpError(
            f"{node.op_type} makes a constant, and is not one of the operators that are "
            "computed on import",
            node=node.name,
            hint="fold constants when exporting, or with onnxruntime's offline optimization",
        )
    known.types.update(types)
    if node.op_type in ("Shape", "Size") and node.input[0] not in known.constants:
        _learn(known, node.output[0], _shape_array(known, node))
    else:
        _check_work(known, node, file.limits)
        for name, array in _evaluate(known, node, file).items():
            _learn(known, name, array)
    made = sum(known.constants[name].size for name in node.output if name)
    known.folded[node.name] = _made(known) + made


def _shape_array(known: Resolved, node: onnx.NodeProto) -> Array:
    """Return what `Shape` or `Size` computes, without the values."""
    shape = known.shape(node.input[0])
    if shape is None:
        raise ImportModelError(
            f"{node.op_type} reads a value whose shape is not fixed", node=node.name
        )
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    limits = {a.name: a.i for a in node.attribute}
    return np.array(shape[limits.get("start", 0) : limits.get("end", len(shape))], np.int64)


def _check_work(known: Resolved, node: onnx.NodeProto, limits: Limits) -> None:
    """Refuse a node that would make more elements than are left, or multiply too long."""
    most = limits.elements
    shapes = [known.shape(name) for name in node.output if name]
    made = math.inf if None in shapes else sum(math.prod(shape or ()) for shape in shapes)
    work = made
    if node.op_type in ("MatMul", "Gemm"):
        work *= max(known.constants[node.input[0]].shape, default=1) / _PRODUCTS_PER_ELEMENT
    if max(made, work) > min(most, 2 * most - _made(known)):
        amount = "an unknown number of" if made == math.inf else str(made)
        raise ImportModelError(
            f"{node.op_type} makes a constant of {amount} elements; {most} are computed on "
            f"import at most, {2 * most} together",
            node=node.name,
            hint="fold constants when exporting, or raise the limit with --max-elements",
        )


def _made(known: Resolved) -> int:
    return next(reversed(known.folded.values()), 0)


def _evaluate(known: Resolved, node: onnx.NodeProto, file: ModelFile) -> dict[str, Array]:
    inputs = {name: known.constants[name] for name in node.input if name}
    single = onnx.helper.make_function(
        "import",
        "Constant",
        list(inputs),
        [name for name in node.output if name],
        [node],
        [onnx.helper.make_opsetid("", max(file.opset, _EVALUATED_AS.get(node.op_type, 0)))],
    )
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(single).run(None, inputs, attributes={})
    except Exception as error:
        raise ImportModelError(
            f"{node.op_type} cannot be computed: {error}".splitlines()[0], node=node.name
        ) from error
    return dict(zip(single.output, map(np.asarray, results), strict=True))
