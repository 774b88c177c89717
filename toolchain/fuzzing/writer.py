"""Writes ONNX models node after node, in the spellings that exporters use."""

from __future__ import annotations

from random import Random
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper

Array: TypeAlias = npt.NDArray[Any]

OPSETS = (11, 13, 17, 18, 20, 21, 22)
"""Versions of ONNX's operators that models are written in."""

_IR_VERSION = 8
_NEWER_IR_VERSION = 10
_SMOOTH = ("HardSigmoid", "Sigmoid", "Tanh", "Swish", "BatchNormalization")
_AXES_ARE_INPUTS = 18


class Writer:
    """Writes one model, node after node.

    Attributes:
        random: Source of all choices.
        opset: Version of ONNX's operators.
        domains: Of other operators, with their versions.
        functions: That the model brings along.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.opset = random.choice(OPSETS)
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.domains: dict[str, int] = {}

    def input(self, *shape: int, dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input of that shape, behind a batch axis that is fixed or not."""
        name = f"x{len(self.inputs) or ''}"
        batch = self.random.choice(["N", 1])
        self.inputs.append(helper.make_tensor_value_info(name, dtype, [batch, *shape]))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return that."""
        return self.split(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def split(
        self, op: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs, and return them."""
        index = len(self.nodes)
        names = [f"{op.lower()}_{index}{'' if i == 0 else f'_{i}'}" for i in range(outputs)]
        name = f"/{op}_{index}" if self.random.random() < 0.8 else ""
        node = helper.make_node(op, inputs, names, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return names

    def constant(self, array: Array) -> str:
        """Add an initializer, or now and then a node that makes the same."""
        tensor = numpy_helper.from_array(array)
        if self.random.random() < 0.15:
            return self.node("Constant", value=tensor)
        tensor.name = f"w{len(self.weights)}"
        self.weights.append(tensor)
        return tensor.name

    def weight(self, *shape: int) -> str:
        """Add weights whose products stay of the order of one."""
        fan_in = float(np.prod(shape[1:])) if len(shape) > 1 else 4.0
        array = self.numbers.normal(size=shape) / np.sqrt(max(fan_in, 1.0))
        return self.constant(array.astype(np.float32))

    def positive(self, *shape: int) -> str:
        """Add numbers from 0.5 to 1.5."""
        return self.constant(self.numbers.uniform(0.5, 1.5, shape).astype(np.float32))

    def whole(self, *numbers: int) -> str:
        """Add a list of integers."""
        return self.constant(np.array(numbers, np.int64))

    def scalar(self, number: float) -> str:
        """Add one number."""
        return self.constant(np.array(number, np.float32))

    def between(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return self.random.randint(low, high)

    def model(self, *outputs: str) -> onnx.ModelProto:
        """Return the model with these outputs, now and then with the types of all values."""
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(name, version) for name, version in self.domains.items()]
        declared = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, declared, self.weights)
        version = _IR_VERSION if self.opset < OPSETS[-2] else _NEWER_IR_VERSION
        made = helper.make_model(graph, opset_imports=opsets, ir_version=version)
        made.functions.extend(self.functions)
        inferred = onnx.shape_inference.infer_shapes(made, data_prop=True)
        for output, found in zip(graph.output, inferred.graph.output, strict=True):
            kind = found.type.tensor_type
            if not (kind.elem_type and kind.HasField("shape")):  # as behind another domain's
                found = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["N", 2])
            output.CopyFrom(found)
        made.graph.CopyFrom(graph)
        if self.random.random() < 0.3:
            made.graph.value_info.extend(inferred.graph.value_info)
        return made

    def activation(self, x: str, channels: int | None = None) -> str:
        """Add an activation, most often a plain one."""
        kind = self.random.choice(("Relu",) * 6 + ("Clip", "LeakyRelu", "PRelu", *_SMOOTH))
        if kind == "Clip":
            return self.node("Clip", x, self.scalar(0.0), self.scalar(6.0))
        if kind == "PRelu":
            return self.node("PRelu", x, self.scalar(0.1))
        if kind == "Swish":
            return self.node("Mul", x, self.node("Sigmoid", x))
        if kind == "BatchNormalization" and channels is not None:
            return self.node("Relu", self.normalized(x, channels))
        return self.node("Relu" if kind == "BatchNormalization" else kind, x)

    def normalized(self, x: str, channels: int) -> str:
        """Add a batch normalization."""
        parameters = [self.positive(channels), self.weight(channels), self.weight(channels)]
        return self.node(
            "BatchNormalization", x, *parameters, self.positive(channels), epsilon=0.001
        )

    def convolution(
        self, x: str, inputs: int, outputs: int, *, axes: int = 2, **attributes: Any
    ) -> str:
        """Add a convolution that keeps the size, unless attributes say otherwise."""
        kernel = self.random.choice((1, 3))
        groups = attributes.get("group", 1)
        weights = [self.weight(outputs, inputs // groups, *[kernel] * axes)]
        if self.random.random() < 0.7:
            weights.append(self.weight(outputs))
        attributes = {"pads": [kernel // 2] * (2 * axes), **attributes}
        if self.random.random() < 0.7:
            attributes["kernel_shape"] = [kernel] * axes
        return self.node("Conv", x, *weights, **attributes)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """Add a dense layer in one of its spellings."""
        if self.random.random() < 0.5:
            return self.node(
                "Gemm", x, self.weight(outputs, inputs), self.weight(outputs), transB=1
            )
        product = self.node("MatMul", x, self.weight(inputs, outputs))
        return self.node("Add", product, self.weight(outputs))

    def head(self, x: str) -> str:
        """Add what stands at the end of a classifier, if anything."""
        kind = self.random.choice((None, None, "Softmax", "LogSoftmax", "Sigmoid", "ArgMax"))
        if kind is None:
            return x
        return self.node(kind, x) if kind == "Sigmoid" else self.node(kind, x, axis=1)

    def flat(self, x: str, size: int) -> str:
        """Add a flattening in one of its spellings."""
        kind = self.between(0, 2)
        if kind == 0:
            return self.node("Flatten", x)
        if kind == 1:
            return self.node("Reshape", x, self.whole(-1 if self.between(0, 1) else 0, size))
        batch = self.node("Gather", self.node("Shape", x), self.whole(0), axis=0)
        return self.node("Reshape", x, self.node("Concat", batch, self.whole(-1), axis=0))

    def averaged(self, x: str) -> str:
        """Add a global average over height and width, ``(N, C)``."""
        if self.between(0, 1):
            return self.node("Flatten", self.node("GlobalAveragePool", x))
        if self.opset < _AXES_ARE_INPUTS:
            return self.node("ReduceMean", x, axes=[2, 3], keepdims=0)
        return self.node("ReduceMean", x, self.whole(2, 3), keepdims=0)
