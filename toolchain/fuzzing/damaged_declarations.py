"""Declared types, inputs, outputs, versions and functions that are not as the graph is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import onnx
from onnx import TensorProto, helper

from toolchain.onnx_functions import functions

_SIZES = (-(2**63), -1, 0, 1, 2, 3, 5, 8, 33, 1000, 2**20, 2**31 - 1, 2**40, 2**62)
_TYPES = (*range(24), 99, 2**31 - 1)
_VERSIONS = (-(2**63), -1, 0, 1, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 20, 22, 99, 2**62)


def resize_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Change one size of a declared shape."""
    value = _value(random, model)
    sizes = value.type.tensor_type.shape.dim
    if not sizes:
        return
    size = random.choice(sizes)
    if random.random() < 0.2:
        size.dim_param = random.choice(("", "N", "N" * 9000))
    elif random.random() < 0.2:
        size.Clear()
    else:
        size.dim_value = random.choice(_SIZES)


def rerank_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Give a declared shape more or fewer axes, or none."""
    value = _value(random, model)
    shape = value.type.tensor_type.shape
    kind = random.choice(("less", "more", "none", "no shape", "many"))
    if kind == "less" and shape.dim:
        del shape.dim[random.randrange(len(shape.dim))]
    elif kind == "more":
        shape.dim.add(dim_value=random.choice(_SIZES))
    elif kind == "none":
        del shape.dim[:]
    elif kind == "no shape":
        value.type.tensor_type.ClearField("shape")
    elif kind == "many":
        shape.dim.extend(
            [helper.make_tensor_value_info("", 1, [1]).type.tensor_type.shape.dim[0]] * 70
        )


def retype_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Declare a value of another type, or of none."""
    value = _value(random, model)
    kind = random.choice(("tensor", "tensor", "sequence", "optional", "map", "sparse", "none"))
    if kind == "tensor":
        value.type.tensor_type.elem_type = random.choice(_TYPES)
    elif kind == "none":
        value.ClearField("type")
    elif kind == "sequence":
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif kind == "optional":
        value.type.optional_type.elem_type.tensor_type.elem_type = 1
    elif kind == "map":
        value.type.map_type.key_type = TensorProto.INT64
    else:
        value.type.sparse_tensor_type.elem_type = 1


def rename_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Declare a value under another name."""
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    _value(random, model).name = random.choice((*names, "", "no such value"))


def drop_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Take an input or output away."""
    values = random.choice((model.graph.input, model.graph.output))
    if values:
        del values[random.randrange(len(values))]


def add_value(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Make another value an input or output, or declare it twice."""
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    shape = random.choice((None, [], [1, 4], ["N", 3], [2**40]))
    made = helper.make_tensor_value_info(random.choice((*names, "new")), 1, shape)
    random.choice((graph.input, graph.output, graph.value_info)).append(made)


def change_opset(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Claim another version of the operators, or several, or none."""
    kind = random.choice(("change", "change", "drop", "add"))
    if kind == "change" and model.opset_import:
        random.choice(model.opset_import).version = random.choice(_VERSIONS)
    elif kind == "drop":
        del model.opset_import[:]
    else:
        domain = random.choice(("", "ai.onnx", "ai.onnx.ml", "ai.snn_compile", "no.such"))
        model.opset_import.append(onnx.OperatorSetIdProto(domain=domain, version=13))


def change_version(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Claim another version of the format."""
    model.ir_version = random.choice(_VERSIONS)


def change_functions(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Damage the functions that the model brings, or bring some."""
    if not model.functions:
        model.functions.extend(functions(random.choice((1, 2, 5))))
    function = random.choice(model.functions)
    kind = random.choice(("drop", "double", "cut", "rename", "call itself", "other windows"))
    if kind == "drop":
        model.functions.remove(function)
    elif kind == "double":
        model.functions.append(function)
    elif kind == "cut" and function.node:
        del function.node[random.randrange(len(function.node))]
    elif kind == "rename":
        function.name = random.choice(("Relu", "", "MultiThreshold"))
    elif kind == "call itself":
        function.node.add(
            op_type=function.name, domain=function.domain, input=["x"], output=["z"]
        )
    else:
        del model.functions[:]
        model.functions.extend(functions(random.choice((1, 2, 4))))


def _value(random: Random, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    return random.choice(values) if values else graph.input.add(name="x")


DAMAGES: tuple[Callable[[Random, onnx.ModelProto, Path], None], ...] = (
    resize_value,
    rerank_value,
    retype_value,
    rename_value,
    drop_value,
    add_value,
    change_opset,
    change_version,
    change_functions,
)
