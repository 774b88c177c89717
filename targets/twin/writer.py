"""Puts an ONNX model of standard operators together, node after node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from targets.twin.split_model import LARGE_BYTES, SplitModel, declared
from toolchain.ir.node import Shape

_OPSET = 13
_IR_VERSION = 8


class ModelWriter:
    """A model in the making: nodes in the order they run, and constants.

    Attributes:
        firsts: Values that hold the first channels of others, by these and their number.
    """

    def __init__(self) -> None:
        self.firsts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._large: dict[str, npt.NDArray[Any]] = {}

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant under a name of its own and return the name.

        A large array that is of this type is not copied, so nobody may change it.
        """
        if name in self._constants:
            raise ValueError(f"two constants are called {name!r}")
        array = np.ascontiguousarray(np.asarray(value, dtype))
        shaped = array.reshape(np.shape(value))  # NumPy makes scalars one-dimensional
        if shaped.nbytes < LARGE_BYTES:
            self._constants[name] = numpy_helper.from_array(shaped, name)
        else:
            self._constants[name] = declared(name, shaped)
            self._large[name] = shaped
        return name

    def shared(self, value: int, dtype: npt.DTypeLike) -> str:
        """Return the name of a scalar constant that many nodes may read."""
        name = f"{np.dtype(dtype).name}/{value}"
        if name not in self._constants:
            self.constant(name, value, dtype)
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output and return that."""
        self._nodes.append(
            helper.make_node(operator, list(inputs), [output], name=output, **attributes)
        )
        return output

    def cast(self, source: str, dtype: npt.DTypeLike, output: str) -> str:
        """Add a conversion to another type."""
        return self.add("Cast", [source], output, to=tensor_type(dtype))

    def reshaped(self, source: str, shape: Sequence[int], output: str) -> str:
        """Add a change of shape; the batch axis stays."""
        wanted = self.constant(f"{output}/shape", [0, *shape], np.int64)
        return self.add("Reshape", [source, wanted], output)

    def finish(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        notes: Mapping[str, str],
    ) -> SplitModel:
        """Return the model; ``notes`` are its metadata."""
        body = helper.make_graph(
            self._nodes, name, inputs, outputs, list(self._constants.values())
        )
        model = helper.make_model(
            body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )
        helper.set_model_props(model, dict(notes))
        return SplitModel(model, self._large)


def tensor_type(dtype: npt.DTypeLike) -> int:
    """Return ONNX's number of an element type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def batch_of(name: str, dtype: npt.DTypeLike, shape: Shape) -> onnx.ValueInfoProto:
    """Return the description of an input or output with a batch axis of any length."""
    return helper.make_tensor_value_info(name, tensor_type(dtype), ["N", *shape])
