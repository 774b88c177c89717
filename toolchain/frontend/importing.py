"""From a model to a graph, node by node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.helper
import onnx.shape_inference

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.constants import LARGEST_ELEMENTS, Resolved, resolve
from toolchain.frontend.dependence import count_readers, dependent_nodes
from toolchain.frontend.functions import EXIT, check_windows, importer_name, is_exit
from toolchain.frontend.model_file import ModelFile, read_model, schema_of
from toolchain.ir.ann import Input, Relu
from toolchain.ir.graph import Graph
from toolchain.ir.node import Node, Shape
from toolchain.ir.snn import LmHt
from toolchain.ops import IMPORTERS, Call, Value
from toolchain.ops._builder import GraphBuilder
from toolchain.ops._call import Constant, dtype_name
from toolchain.ops._call import Input as CallInput

_SAMPLE_DTYPES = (
    "float16", "float32", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64",
)  # fmt: skip
_ACTIVATIONS = (
    "Celu", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu",
    "Selu", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A model as a graph, and what is needed to run the model itself beside it.

    Attributes:
        graph: In phase IMPORT.
        name: Stem of the file's name.
        path: Where the model was read from.
        sha256: Of the file, or of the file and then its external files in the order of their
            names.
        opset: Version of the ONNX operators.
        input_name: Of the only input.
        input_dtype: Name of its element type, as NumPy has it: ``"float32"``.
        input_shape: Without the batch axis; where samples have windows, their axis is first.
        has_fixed_batch: Whether the model takes one sample at a time, rather than any number.
        output_name: Of the only output.
        output_shape: Without the batch axis.
        model_bytes: The serialized model with its external data inside, every node named.
    """

    graph: Graph
    name: str
    path: Path
    sha256: str
    opset: int
    input_name: str
    input_dtype: str
    input_shape: Shape
    has_fixed_batch: bool
    output_name: str
    output_shape: Shape
    model_bytes: bytes


def import_model(path: Path) -> ImportedModel:
    """Read an ONNX model and say it in primitives.

    Args:
        path: Of the model; weights may be in files in the same folder.

    Raises:
        ImportModelError: It is no model that can be read, or it is inconsistent; it names the
            file, node or initializer.
        UnsupportedOpError: A node cannot be said in primitives; it names the node.
    """
    file = read_model(Path(path))
    graph = file.proto.graph
    if not graph.output:
        raise ImportModelError("has no output", node=str(file.path))
    sample, has_fixed_batch = _bind_batch(graph, file.path)
    dependent = dependent_nodes(graph, sample.name)
    if not any(graph.output[0].name in node.output for node in dependent):
        raise ImportModelError(
            "does not depend on the network's input", node=graph.output[0].name
        )
    for node in dependent:
        _require_importer(node)
    check_windows(dependent)
    known = resolve(file, sample.name, sample.type, dependent)
    _check_declared(file)
    nodes = _import_nodes(file, sample.name, dependent, known)
    output_name = graph.output[0].name
    return ImportedModel(
        graph=nodes,
        name=file.path.stem,
        path=file.path,
        sha256=file.sha256,
        opset=file.opset,
        input_name=sample.name,
        input_dtype=known.dtype(sample.name),
        input_shape=(known.shape(sample.name) or ())[1:],
        has_fixed_batch=has_fixed_batch,
        output_name=output_name,
        output_shape=nodes.shapes[nodes.output.name],
        model_bytes=file.proto.SerializeToString(),
    )


def _bind_batch(graph: onnx.GraphProto, path: Path) -> tuple[onnx.ValueInfoProto, bool]:
    """Return the only input with a batch axis of length 1, and whether it has that anyway."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if not inputs:
        raise ImportModelError("has no input", node=str(path))
    if len(inputs) > 1:
        raise UnsupportedOpError(
            f"is a second input of the network, besides {inputs[0].name!r}; one is supported",
            node=inputs[1].name,
            hint="make it a constant, or concatenate the inputs outside the network",
        )
    sample = onnx.ValueInfoProto()
    sample.CopyFrom(inputs[0])
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
    if math.prod(size.dim_value for size in rest) > LARGEST_ELEMENTS:
        raise ImportModelError(
            f"has shape {_shown(tensor)}; {LARGEST_ELEMENTS} elements are supported",
            node=sample.name,
            hint="use a smaller input",
        )
    has_fixed_batch = batch.dim_value == 1
    batch.dim_value = 1
    return sample, has_fixed_batch


_FIX_SHAPE = "export the model with a fixed input shape"


def _shown(tensor: onnx.TypeProto.Tensor) -> str:
    sizes = (size.dim_param or size.dim_value or "?" for size in tensor.shape.dim)
    return f"({', '.join(map(str, sizes))})"


def _require_importer(node: onnx.NodeProto) -> None:
    if importer_name(node) not in IMPORTERS:
        raise UnsupportedOpError(
            f"{node.op_type} is not supported; docs/supported-operators.md has those that are",
            node=node.name,
            hint="train with Relu as activation" if node.op_type in _ACTIVATIONS else None,
        )


def _check_declared(file: ModelFile) -> None:
    """Compare the types that the model declares with those that ONNX infers."""
    try:
        onnx.shape_inference.infer_shapes(file.proto, check_type=True, strict_mode=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ImportModelError(
            f"is inconsistent, says onnx: {str(error).strip().splitlines()[0]}",
            node=str(file.path),
        ) from None


def _import_nodes(
    file: ModelFile, sample: str, nodes: tuple[onnx.NodeProto, ...], known: Resolved
) -> Graph:
    graph = file.proto.graph
    names = tuple(node.name for node in graph.node)
    builder = GraphBuilder(taken=names)
    shape = (known.shape(sample) or ())[1:]
    entry = Input(
        name=builder.unused(sample),
        shape=shape,
        source_shape=shape,
        tensor=sample,
        dtype=known.dtype(sample),
    )
    readers = count_readers(graph, nodes)
    values = {sample: Value(builder.add(entry), shape)}
    _pin(builder, values, (sample,), readers)
    averaged: set[str] = set()
    for node in nodes:
        call = _call(node, file.opset, known, values, builder)
        made = _outputs_of(call, IMPORTERS[importer_name(node)](call), known, readers)
        if not averaged.isdisjoint(node.input):
            _require_host(call, made[call.output])
        if is_exit(node) or not averaged.isdisjoint(node.input):
            averaged.update(made)
        values |= made
        _pin(builder, values, tuple(made), readers)
    output = graph.output[0].name
    finished = builder.finish(values[output], output, known.dtype(output))
    _refuse_mixture(finished)
    return Graph(
        name=file.path.stem, nodes=finished, source_nodes=names, constants=tuple(known.folded)
    )


def _pin(
    builder: GraphBuilder,
    values: Mapping[str, Value],
    names: Sequence[str],
    readers: Mapping[str, int],
) -> None:
    """Keep the layout of what several nodes read: each has its own view of it."""
    for name in names:
        if readers[name] > 1:
            builder.pin(values[name].node)


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
    relu = next((node for node in nodes if isinstance(node, Relu)), None)
    if relu is not None and any(isinstance(node, LmHt) for node in nodes):
        raise UnsupportedOpError(
            "is an analogue activation in a network of trained spiking neurons; all are one or "
            "the other",
            node=relu.origin[0],
            hint="train it as MultiThreshold, too",
        )


def _require_batch(call: Call, shapes: Sequence[Shape]) -> None:
    for shape in shapes:
        call.require(
            shape[:1] == (1,),
            f"makes {shape} of a batch of one sample; the batch axis must stay the first",
            "rearrange within the sample only",
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


def _call(
    node: onnx.NodeProto,
    opset: int,
    known: Resolved,
    values: dict[str, Value],
    builder: GraphBuilder,
) -> Call:
    shapes = []
    for name in (name for name in node.output if name):
        shape = known.shape(name)
        if shape is None or 0 in shape:
            read = next(name for name in node.input if name in values)
            raise ImportModelError(
                f"{node.op_type} has an output whose shape does not follow from that of its "
                f"input, {known.shape(read)}",
                node=node.name,
                hint="use a larger input or a smaller kernel, and fixed shapes",
            )
        if math.prod(shape) > LARGEST_ELEMENTS:
            raise ImportModelError(
                f"{node.op_type} makes {math.prod(shape)} elements of one sample; "
                f"{LARGEST_ELEMENTS} are supported",
                node=node.name,
                hint="use a smaller input",
            )
        shapes.append(shape[1:])
    inputs: list[CallInput] = []
    for name in node.input:
        if name in values:
            inputs.append(values[name])
        else:
            inputs.append(Constant(name, known.constants[name]) if name else None)
    return Call(
        node=node,
        name=node.name,
        schema=schema_of(node, opset),
        inputs=tuple(inputs),
        dtypes=tuple(known.dtype(name) if name else "" for name in node.input),
        output_shapes=tuple(shapes),
        builder=builder,
    )
