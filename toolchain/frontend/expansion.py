"""Operators of quantized models, written out in ONNX's plain ones before anything is imported.

What stands in their place computes the same; the main node keeps the name, so that messages
and populations are called as the file calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from toolchain.errors import UnsupportedOpError
from toolchain.ir.node import Array


class Expansion:
    """One node, and the plain nodes that come in its place.

    Attributes:
        node: The node.
        opset: Of ONNX's own operators in the model.
        nodes: What stands for it.
        constants: Initializers that they read.
    """

    def __init__(
        self, node: onnx.NodeProto, known: Mapping[str, onnx.TensorProto], opset: int
    ) -> None:
        self.node, self.opset = node, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known = known
        self._attributes = {attribute.name: attribute for attribute in node.attribute}

    @property
    def output(self) -> str:
        """Name of the node's output."""
        if not self.node.output or not self.node.output[0]:
            self.refuse("has no output")
        return str(self.node.output[0])

    def refuse(self, problem: str, hint: str | None = None) -> NoReturn:
        """Refuse the node; ``problem`` goes after the operator's name."""
        raise UnsupportedOpError(
            f"{self.node.op_type} {problem}", node=self.node.name, hint=hint
        )

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        return int(self._take(name, onnx.AttributeProto.INT, "an integer", default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self._take(name, onnx.AttributeProto.FLOAT, "a number", default))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a string."""
        value = self._take(name, onnx.AttributeProto.STRING, "a string", default)
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def _take(self, name: str, kind: int, called: str, default: Any) -> Any:
        """Return the value of an attribute, which is then known."""
        attribute = self._attributes.pop(name, None)
        if attribute is None:
            return default
        if attribute.type != kind or attribute.ref_attr_name:
            self.refuse(f"has an attribute {name} that is not {called}")
        return onnx.helper.get_attribute_value(attribute)

    def rest(self) -> list[onnx.AttributeProto]:
        """Return the attributes that nobody has asked for, for the node that takes them."""
        rest, self._attributes = list(self._attributes.values()), {}
        return rest

    def close(self) -> None:
        """Refuse attributes that nobody has asked for."""
        if self._attributes:
            self.refuse(f"has attribute {', '.join(self._attributes)}, which is not supported")

    def has(self, position: int) -> bool:
        """Tell whether an input is there."""
        return position < len(self.node.input) and bool(self.node.input[position])

    def input(self, position: int) -> str:
        """Return the name of an input."""
        if not self.has(position):
            self.refuse(f"has {len(self.node.input)} inputs; input {position} is needed")
        return str(self.node.input[position])

    def array(self, position: int) -> Array:
        """Return an input that is an initializer or a `Constant`."""
        tensor = self._known.get(self.input(position))
        try:
            array: Array | None = None if tensor is None else onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError):
            array = None
        if array is None or array.size == 0:
            self.refuse(
                f"has an input {self.input(position)!r} that is no constant of the file",
                "fold constants when exporting",
            )
        return array

    def constant(self, suffix: str, value: Array) -> str:
        """Add an initializer and return its name."""
        name = f"{self.node.name}/{suffix}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(
        self,
        op: str,
        *inputs: str,
        suffix: str = "",
        to: str = "",
        copied: Sequence[onnx.AttributeProto] = (),
    ) -> str:
        """Add a node and return its output.

        Args:
            op: Operator.
            inputs: Names of values.
            suffix: Of the node's name; none for the main node.
            to: Its output; a name of its own if empty.
            copied: Its attributes.
        """
        name = f"{self.node.name}/{suffix}" if suffix else self.node.name
        output = to or f"{self.node.name}/{suffix or op}/value"
        made = onnx.helper.make_node(op, inputs, [output], name)
        made.attribute.extend(copied)
        self.nodes.append(made)
        return output


Expander: TypeAlias = Callable[[Expansion], None]


def expand(
    model: onnx.ModelProto, expanders: Mapping[tuple[str, str], Expander]
) -> onnx.ModelProto:
    """Return a model without the operators that have an expander; the same one if none does.

    Args:
        model: Whose nodes have unique names.
        expanders: By domain, ``""`` for ONNX's own, and operator.

    Raises:
        UnsupportedOpError: A node is not as its operator says; it names the node.
    """
    if not any(_key(node) in expanders for node in model.graph.node):
        return model
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    opset = max(given.version for given in model.opset_import if _plain(given.domain) == "")
    expanded = onnx.ModelProto()
    expanded.CopyFrom(model)
    del expanded.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                known[node.output[0]] = attribute.t
        expander = expanders.get(_key(node))
        if expander is None:
            expanded.graph.node.append(node)
            continue
        expansion = Expansion(node, known, opset)
        expander(expansion)
        expansion.close()
        expanded.graph.node.extend(expansion.nodes)
        expanded.graph.initializer.extend(expansion.constants)
    return expanded


def _key(node: onnx.NodeProto) -> tuple[str, str]:
    return (_plain(node.domain), node.op_type)


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
