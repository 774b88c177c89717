"""From a model to a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnx.checker
import onnx.helper
import onnx.shape_inference

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.constants import Resolved, leave_out, resolve
from toolchain.frontend.dependence import dependent_nodes, ends_of, measured_nodes, starts_of
from toolchain.frontend.functions import check_windows, importer_name
from toolchain.frontend.model_file import ModelFile, read_model
from toolchain.frontend.node_importer import NodeImporter
from toolchain.frontend.recurrence import RECURRENT
from toolchain.frontend.skeleton import skeleton_of
from toolchain.frontend.source_model import SourceModel
from toolchain.frontend.ways_out import way_out
from toolchain.heap import trim_heap
from toolchain.ir.ends import sample_shape
from toolchain.ir.graph import Graph
from toolchain.ir.node import Shape
from toolchain.ir.packing import unpack
from toolchain.limits import DEFAULT, Limits
from toolchain.ops import IMPORTERS
from toolchain.ops._call import dtype_name

_SAMPLE_DTYPES = (
    "float16", "float32", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A model as a graph, and where the model itself is to be had, to run beside it.

    Attributes:
        graph: In phase IMPORT.
        name: Stem of the file's name.
        source: The model itself, which is not kept in memory.
        opset: Version of the ONNX operators.
        has_fixed_batch: Whether the model takes one sample at a time, rather than any number.
        is_half: Whether it computes values in float16.
    """

    graph: Graph
    name: str
    source: SourceModel
    opset: int
    has_fixed_batch: bool
    is_half: bool

    @property
    def input_shape(self) -> Shape:
        """Of a sample, see `ends.sample_shape`."""
        return sample_shape(self.graph)

    @property
    def output_names(self) -> list[str]:
        """ONNX names of the outputs."""
        return [node.tensor for node in self.graph.outputs]

    def feeds(self, x: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Return samples ``(samples, *input_shape)`` as the model takes them, by input."""
        parts = unpack(x, [node.source_shape for node in self.graph.inputs])
        return {
            node.tensor: part.astype(node.dtype)
            for node, part in zip(self.graph.inputs, parts, strict=True)
        }


def import_model(
    path: Path,
    limits: Limits = DEFAULT,
    check_time: Callable[[str], None] = lambda _: None,
) -> ImportedModel:
    """Read an ONNX model and say it in primitives.

    Args:
        path: Of the model; weights may be in files in the same folder.
        limits: On its size.
        check_time: Is told the name of each node before it is imported, and may raise.

    Raises:
        ImportModelError: It is no model that can be read, or it is inconsistent; it names the
            file, node or initializer.
        UnsupportedOpError: A node cannot be said in primitives; it names the node.
    """
    model = _imported(Path(path), limits, check_time)
    trim_heap()
    return model


def _imported(path: Path, limits: Limits, check_time: Callable[[str], None]) -> ImportedModel:
    file = read_model(path, limits)
    bare = file.without_elements()
    samples, has_fixed_batch = bind_batches(bare.proto.graph, path, limits)
    computed, known = _resolved(file, samples)
    del file  # from here on elements are in ``known`` alone
    check_declared(bare)
    nodes = [node for node in bare.proto.graph.node if node.name in computed]
    importer = NodeImporter(bare, [sample.name for sample in samples], nodes, known)
    for node in nodes:
        check_time(node.name)
        importer.visit(node)
    return ImportedModel(
        graph=importer.finish(),
        name=path.stem,
        source=SourceModel.of(bare),
        opset=bare.opset,
        has_fixed_batch=has_fixed_batch,
        is_half=any(known.is_half(value) for node in nodes for value in node.output),
    )


def _resolved(
    file: ModelFile, samples: Sequence[onnx.ValueInfoProto]
) -> tuple[frozenset[str], Resolved]:
    """Return the names of the nodes to import, and what is known of all values.

    Raises:
        ImportModelError: As `import_model`.
        UnsupportedOpError: As `import_model`.
    """
    graph, names = file.proto.graph, [sample.name for sample in samples]
    dependent = dependent_nodes(graph, names)
    measured = measured_nodes(graph, dependent)
    computed = [node for node in dependent if node.name not in measured]
    for problem in (*starts_of(names, computed), *ends_of(graph, computed)):
        raise problem
    for node in computed:
        require_importer(node)
    check_windows(computed)
    known = resolve(file, samples, dependent)
    leave_out(known, (node.name for node in dependent if node.name in measured))
    return frozenset(node.name for node in computed), known


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return what a user gives; old files list their weights among it."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def bind_batches(
    graph: onnx.GraphProto, path: Path, limits: Limits = DEFAULT
) -> tuple[list[onnx.ValueInfoProto], bool]:
    """Return the inputs with batch axes of length 1, and whether one has that anyway.

    Raises:
        ImportModelError: There is none, or one of no shape or type that a network can have.
    """
    inputs = inputs_of(graph)
    if not inputs:
        raise ImportModelError("has no input", node=str(path))
    bound = [bind_batch(value, limits) for value in inputs]
    return [sample for sample, _ in bound], any(is_fixed for _, is_fixed in bound)


def bind_batch(
    value: onnx.ValueInfoProto, limits: Limits = DEFAULT
) -> tuple[onnx.ValueInfoProto, bool]:
    """Return an input with a batch axis of length 1, and whether it has that anyway.

    Raises:
        ImportModelError: It is of no shape or type that a network can have.
    """
    sample = onnx.ValueInfoProto()
    sample.CopyFrom(value)
    tensor = sample.type.tensor_type
    if not tensor.HasField("shape") or not tensor.shape.dim:
        raise ImportModelError(
            "has no shape, or no axes; (batch, ...) is needed",
            node=sample.name,
            hint=_FIX_SHAPE,
        )
    dtype = dtype_name(tensor.elem_type)
    if dtype not in _SAMPLE_DTYPES:
        raise ImportModelError(
            f"holds {dtype}; {', '.join(_SAMPLE_DTYPES)} are supported", node=sample.name
        )
    batch, *rest = tensor.shape.dim
    if batch.dim_value > 1:
        raise ImportModelError(
            f"has shape {_shown(tensor)}; the first axis is the batch axis, of length 1 or "
            "dynamic",
            node=sample.name,
            hint="export the model with batch size 1 or with a dynamic first axis",
        )
    if not rest or min(size.dim_value for size in rest) < 1:
        raise ImportModelError(
            f"has shape {_shown(tensor)}; all axes but the first need a fixed length",
            node=sample.name,
            hint=_FIX_SHAPE,
        )
    if math.prod(size.dim_value for size in rest) > limits.elements:
        raise ImportModelError(
            f"has shape {_shown(tensor)}; {limits.elements} elements are supported",
            node=sample.name,
            hint="use a smaller input, or raise the limit with --max-elements",
        )
    has_fixed_batch = batch.dim_value == 1
    batch.dim_value = 1
    return sample, has_fixed_batch


_FIX_SHAPE = "export the model with a fixed input shape"


def _shown(tensor: onnx.TypeProto.Tensor) -> str:
    sizes = (size.dim_param or size.dim_value or "?" for size in tensor.shape.dim)
    return f"({', '.join(map(str, sizes))})"


def require_importer(node: onnx.NodeProto) -> None:
    """Refuse an operator that no importer is registered for.

    Raises:
        UnsupportedOpError: There is none; it names the node.
    """
    if importer_name(node) not in IMPORTERS:
        why = f": {RECURRENT[node.op_type]}" if node.op_type in RECURRENT else ""
        raise UnsupportedOpError(
            f"{node.op_type} is not supported{why}; "
            "docs/supported-operators.md has those that are",
            node=node.name,
            hint=way_out(node.op_type),
        )


def check_declared(file: ModelFile) -> None:
    """Compare the types that the model declares with those that ONNX infers.

    Raises:
        ImportModelError: They differ.
    """
    try:
        skeleton = skeleton_of(file.proto, with_shapes=True)
        onnx.shape_inference.infer_shapes(skeleton, check_type=True, strict_mode=True)
    except (
        onnx.shape_inference.InferenceError,
        onnx.checker.ValidationError,
        RuntimeError,
        ValueError,
    ) as error:
        raise ImportModelError(
            f"is inconsistent, says onnx: {str(error).strip().splitlines()[0]}",
            node=str(file.path),
        ) from None
