"""An ONNX model and, beside it, its large constants: most of what it takes in memory.

They are weights, which the network holds anyway. Sessions take them from there, and files get
them one after the other, so there never is a copy of the whole model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER

_LENGTH_FIRST = 2
"""Kind of a field that is a message, in protocol buffers."""

LARGE_BYTES = 2**16
"""Size from which on a constant is large."""


@dataclass(frozen=True, eq=False)
class SplitModel:
    """A model whose large constants are arrays.

    Attributes:
        proto: The model; large constants are declared in it as external data.
        large: Values of those, by name.
    """

    proto: onnx.ModelProto
    large: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> SplitModel:
        """Take large constants out of a model, which is of no use any more."""
        large = {}
        for tensor in model.graph.initializer:
            if tensor.ByteSize() >= LARGE_BYTES:
                large[tensor.name] = numpy_helper.to_array(tensor)
                tensor.CopyFrom(declared(tensor.name, large[tensor.name]))
        rest = onnx.ModelProto()  # what is taken out of a message is freed with that
        rest.CopyFrom(model)
        return cls(rest, large)

    def pieces(self) -> Iterator[bytes]:
        """Yield what a file of the whole model consists of, in its order.

        Source: https://protobuf.dev/programming-guides/encoding, by which the fields of a
        message may come in any order.
        """
        rest = onnx.ModelProto()
        rest.CopyFrom(self.proto)
        tensors = list(self.proto.graph.initializer)
        rest.graph.ClearField("initializer")
        graph = rest.graph.SerializeToString(deterministic=True)
        rest.ClearField("graph")
        lengths = [self._whole(tensor).ByteSize() for tensor in tensors]
        heads = [_head(_INITIALIZER, length) for length in lengths]
        yield rest.SerializeToString(deterministic=True)
        yield _head(_GRAPH, len(graph) + sum(map(len, heads)) + sum(lengths))
        yield graph
        for head, tensor in zip(heads, tensors, strict=True):
            yield head
            yield self._whole(tensor).SerializeToString(deterministic=True)

    def _whole(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        """Return a constant with its values."""
        if tensor.name not in self.large:
            return tensor
        return numpy_helper.from_array(self.large[tensor.name], tensor.name)


def declared(name: str, array: npt.NDArray[Any]) -> onnx.TensorProto:
    """Return a constant without its values; ONNX wants a place where they are said to be."""
    tensor = onnx.TensorProto(
        name=name,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        dims=array.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="in memory")
    return tensor


def _head(field: int, length: int) -> bytes:
    """Return what comes before a message that is a field of another one."""
    return _varint(field << 3 | _LENGTH_FIRST) + _varint(length)


def _varint(number: int) -> bytes:
    """Return a number in bytes of 7 bits, the lowest first; all but the last have bit 8 set."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
