"""What ONNX looks at of a model, which is hardly ever the elements of its weights.

ONNX's checker and its shape inference take a model serialized, and make another of it: with the
weights of a large one, that is several times its size. So they are given a model whose large
tensors are left out: those that hold as many elements as they say, in one place, and of which
there is nothing more to find. All others stay as they are.
"""

from __future__ import annotations

import math

import onnx
import onnx.helper
from google.protobuf.message import Message  # type: ignore[import-untyped]

LARGEST_KNOWN = 1024
"""Elements up to which shape inference is told a constant: shapes and the like are smaller."""

_TYPES = tuple(
    onnx.TensorProto.DataType.Value(name)
    for name in (
        "FLOAT", "FLOAT16", "DOUBLE", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32",
        "INT64", "UINT64",
    )
)  # fmt: skip
_FIELDS = (
    "float_data",
    "double_data",
    "int32_data",
    "int64_data",
    "uint64_data",
    "string_data",
)


def skeleton_of(model: onnx.ModelProto, *, with_shapes: bool) -> onnx.ModelProto:
    """Return a model without the elements of its large tensors.

    Args:
        model: Is not changed.
        with_shapes: Whether large tensors keep their shape and have no elements, which is what
            shape inference looks at; if not, they have no axes and a single element, which the
            checker finds as consistent as they were.
    """
    skeleton = onnx.ModelProto()
    _copy(model, skeleton, without=("graph",))
    _copy(model.graph, skeleton.graph, without=("node", "initializer"))
    skeleton.graph.initializer.extend(
        _stand_in(tensor, with_shapes=with_shapes) for tensor in model.graph.initializer
    )
    for node in model.graph.node:
        if node.op_type == "Constant":
            made = skeleton.graph.node.add()
            _copy(node, made, without=("attribute",))
            for attribute in node.attribute:
                _add_attribute(made, attribute, with_shapes=with_shapes)
        else:
            skeleton.graph.node.append(node)
    return skeleton


def _add_attribute(
    node: onnx.NodeProto, attribute: onnx.AttributeProto, *, with_shapes: bool
) -> None:
    made = node.attribute.add()
    _copy(attribute, made, without=("t",))
    if attribute.HasField("t"):
        made.t.CopyFrom(_stand_in(attribute.t, with_shapes=with_shapes))


def _copy(source: Message, target: Message, *, without: tuple[str, ...]) -> None:
    """Copy the fields of a message but some, of which nothing is read."""
    for field, content in source.ListFields():
        if field.name in without:
            continue
        if isinstance(content, Message):
            getattr(target, field.name).CopyFrom(content)
        elif isinstance(content, (int, float, str, bytes)):
            setattr(target, field.name, content)
        else:
            getattr(target, field.name).extend(content)


def _stand_in(tensor: onnx.TensorProto, *, with_shapes: bool) -> onnx.TensorProto:
    """Return what stands for a tensor: itself, unless it is large and consistent."""
    if not _is_large(tensor):
        return tensor
    made = onnx.TensorProto(data_type=tensor.data_type)
    if tensor.HasField("name"):
        made.name = tensor.name
    if with_shapes:
        made.dims.extend(tensor.dims)
    else:
        made.raw_data = bytes(_bytes_per_element(tensor))
    return made


def _is_large(tensor: onnx.TensorProto) -> bool:
    """Tell whether a tensor has many elements, of a usual type, and all that its shape says."""
    size = math.prod(tensor.dims)
    if size <= LARGEST_KNOWN or min(tensor.dims) < 0 or tensor.data_type not in _TYPES:
        return False
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return False
    found = {name: len(getattr(tensor, name)) for name in _FIELDS}
    held = {name: count for name, count in found.items() if count}
    if tensor.HasField("raw_data"):
        return not held and len(tensor.raw_data) == size * _bytes_per_element(tensor)
    return held == {onnx.helper.tensor_dtype_to_field(tensor.data_type): size}


def _bytes_per_element(tensor: onnx.TensorProto) -> int:
    return int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
