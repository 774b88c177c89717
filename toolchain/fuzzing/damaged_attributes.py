"""Attributes that are missing, of another type, negative, huge, or none of the operator's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import helper, numpy_helper

WHOLE = (-(2**63), -(2**31), -7, -2, -1, 0, 1, 2, 3, 5, 64, 2**16, 2**31 - 1, 2**31, 2**63 - 1)
"""Integers that a file may hold and hardly any operator expects."""

REAL = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1e-45, 1e38, 0.5)
"""Numbers that weights and attributes seldom are."""

TEXT = ("", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "reflect", "ä\n", "x" * 5000)
"""Texts that operators expect, or do not."""

NAMES = (
    "alpha", "auto_pad", "axes", "axis", "beta", "ceil_mode", "count_include_pad", "dilations",
    "epsilon", "group", "keepdims", "kernel_shape", "mode", "momentum", "output_padding",
    "output_shape", "pads", "perm", "storage_order", "strides", "to", "transA", "transB",
    "unknown", "value", "levels", "windows", "mixing", "threshold", "retention", "allowzero",
)  # fmt: skip


def drop_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Remove one."""
    node = _node(random, model)
    if node.attribute:
        del node.attribute[random.randrange(len(node.attribute))]


def retype_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Give one a value of any type."""
    node = _node(random, model)
    if node.attribute:
        attribute = random.choice(node.attribute)
        attribute.CopyFrom(_any_attribute(random, attribute.name))


def add_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Add one that the operator may have, or has already, or does not know."""
    node = _node(random, model)
    node.attribute.append(_any_attribute(random, random.choice(NAMES)))


def retag_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Say that a value is of another type than it is."""
    node = _node(random, model)
    if node.attribute:
        attribute = random.choice(node.attribute)
        attribute.type = random.choice(list(onnx.AttributeProto.AttributeType.values()))


def change_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Change the numbers of one, and how many there are."""
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    attribute = random.choice(random.choice(nodes).attribute)
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = random.choice((*WHOLE, 0, 1, _near(random, attribute.i)))
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = random.choice((*REAL, -attribute.f, attribute.f * 3))
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = random.choice((random.choice(TEXT).encode(), b"\xff\xfe"))
    elif attribute.type in _LISTS:
        _change_list(random, attribute)


def nudge_attribute(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Change one integer a little, as an exporter with a mistake would."""
    lists = [a for node in model.graph.node for a in node.attribute if a.ints]
    single = [a for n in model.graph.node for a in n.attribute if a.type == a.INT]
    if lists and (random.random() < 0.7 or not single):
        attribute = random.choice(lists)
        index = random.randrange(len(attribute.ints))
        attribute.ints[index] = _near(random, attribute.ints[index])
    elif single:
        attribute = random.choice(single)
        attribute.i = _near(random, attribute.i)


def _near(random: Random, number: int) -> int:
    return max(WHOLE[0], min(WHOLE[-1], number + random.choice((-2, -1, 1, 2))))


_LISTS = (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS)


def _change_list(random: Random, attribute: onnx.AttributeProto) -> None:
    is_whole = attribute.type == onnx.AttributeProto.INTS
    numbers = attribute.ints if is_whole else attribute.floats
    kind = random.choice(("clear", "shorten", "lengthen", "replace", "many"))
    if kind == "clear":
        del numbers[:]
    elif kind == "shorten" and numbers:
        del numbers[-1]
    elif kind == "lengthen":
        numbers.append(random.choice(WHOLE) if is_whole else random.choice(REAL))
    elif kind == "replace" and numbers:
        index = random.randrange(len(numbers))
        numbers[index] = random.choice(WHOLE) if is_whole else random.choice(REAL)
    elif kind == "many":
        numbers.extend([1] * random.choice((10, 3000)))


def _any_attribute(random: Random, name: str) -> onnx.AttributeProto:
    array = np.array(random.choice(REAL), np.float32)
    graph = helper.make_graph([], "inner", [], [])
    value = random.choice(
        (
            random.choice(WHOLE),
            random.choice(REAL),
            random.choice(TEXT),
            [random.choice(WHOLE) for _ in range(random.randint(1, 4))],
            [random.choice(REAL)] * random.randint(1, 4),
            [random.choice(TEXT)],
            numpy_helper.from_array(array),
            graph,
            helper.make_tensor_type_proto(1, [2]),
        )
    )
    return helper.make_attribute(name, value)


def _node(random: Random, model: onnx.ModelProto) -> onnx.NodeProto:
    return random.choice(model.graph.node)


DAMAGES: tuple[Callable[[Random, onnx.ModelProto, Path], None], ...] = (
    drop_attribute,
    retype_attribute,
    add_attribute,
    retag_attribute,
    change_attribute,
    nudge_attribute,
)
