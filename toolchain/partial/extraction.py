"""Parts of a model as models of their own, with the weights and constants that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from toolchain.errors import ImportModelError
from toolchain.frontend.dependence import SHAPE_OPERATORS
from toolchain.ir.node import Array
from toolchain.partial.dataflow import reads_of
from toolchain.partial.regions import Region
from toolchain.partial.values import Values

Folded: TypeAlias = tuple[Array, bool]
"""A constant, and whether it is the same for any number of samples."""

_BATCH = "batch"


class Extraction:
    """Takes parts out of a model.

    What a part needs of shapes outside of it becomes a constant. Where such a constant depends
    on the number of samples, the part takes one sample at a time, as all parts of a model do
    that does.
    """

    def __init__(self, model: onnx.ModelProto, values: Values) -> None:
        """Take parts out of ``model``, every node of which has a name of its own."""
        self._model, self._values = model, values
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {
            name: place
            for place, node in enumerate(model.graph.node)
            for name in node.output
            if name
        }

    def part(self, region: Region, products: Sequence[str] = ()) -> onnx.ModelProto:
        """Return some steps of the model as a model.

        Args:
            region: The steps, all that they read, and what of that they make is wanted.
            products: Outputs behind which a product with 1 stands.

        Raises:
            ImportModelError: The type of an input, or a constant, is not known.
        """
        nodes = self._model.graph.node
        places = {step.place for step in region.steps}
        here = {
            *region.inputs,
            *(name for place in places for name in nodes[place].output if name),
        }
        folded: dict[str, Folded] = {}
        weights: dict[str, onnx.TensorProto] = {}
        asked = [name for place in sorted(places) for name in reads_of(nodes[place])]
        while asked:
            name = asked.pop()
            if name in here or name in folded or name in weights:
                continue
            place = self._makers.get(name)
            if name in self._weights:
                weights[name] = self._weights[name]
            elif place is None:
                raise ImportModelError("is read, and nothing makes it", node=name)
            elif self._asks_elsewhere(nodes[place], here):
                folded[name] = self._folded(name)
            else:
                places.add(place)
                here.update(filter(None, nodes[place].output))
                asked.extend(reads_of(nodes[place]))
        part = onnx.ModelProto()
        for field in ("ir_version", "opset_import", "functions", "producer_name"):
            _copy(self._model, part, field)
        part.graph.name = self._model.graph.name
        part.graph.node.extend(nodes[place] for place in sorted(places))
        part.graph.initializer.extend(weights.values())
        for name, (array, _) in folded.items():
            part.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        is_single = not all(is_for_any_batch for _, is_for_any_batch in folded.values())
        batch = 1 if is_single or self._values.has_fixed_batch else None
        part.graph.input.extend(self._declaration(name, batch) for name in region.inputs)
        part.graph.output.extend(self._declaration(name, batch) for name in region.outputs)
        for value in products:
            self._multiply(part, value)
        return part

    def _multiply(self, part: onnx.ModelProto, output: str) -> None:
        """Put a product with 1 behind an output."""
        kind = self._values.one.types[output].tensor_type.elem_type
        bare, one = f"{output}/factor", f"{output}/one"
        for node in part.graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == output:
                        names[place] = bare
        number = np.ones((), onnx.helper.tensor_dtype_to_np_dtype(kind))
        part.graph.initializer.append(onnx.numpy_helper.from_array(number, one))
        name = product_of(output)
        part.graph.node.append(onnx.helper.make_node("Mul", [bare, one], [output], name=name))

    def _asks_elsewhere(self, node: onnx.NodeProto, here: Iterable[str]) -> bool:
        """Tell whether a node is about the shape of a value that is made elsewhere."""
        return (
            node.op_type in SHAPE_OPERATORS
            and node.input[0] not in here
            and node.input[0] not in self._weights
        )

    def _folded(self, name: str) -> Folded:
        known = self._values.constant(name)
        if known is None:
            raise ImportModelError(
                "is the shape of a value that another part makes, and is not known", node=name
            )
        return known

    def _declaration(self, name: str, batch: int | None) -> onnx.ValueInfoProto:
        """Return the type of a value, with its shape if the first axis is the batch's.

        Args:
            name: Of the value.
            batch: Length of that axis; `None` for any.
        """
        known = self._values.one.types.get(name)
        if known is None:
            raise ImportModelError(
                "goes from one part of the model to another, and its type is not known",
                node=name,
                hint="use operators of ONNX's own around it, and fixed shapes",
            )
        declared = onnx.ValueInfoProto(name=name)
        declared.type.CopyFrom(known)
        if not known.HasField("tensor_type"):
            return declared
        declared.type.tensor_type.ClearField("shape")
        shape = self._values.shape(name)
        if shape is not None:
            axes = declared.type.tensor_type.shape.dim
            axes.add(dim_param=_BATCH) if batch is None else axes.add(dim_value=batch)
            for size in shape:
                axes.add(dim_value=size)
        return declared


def product_of(output: str) -> str:
    """Return the name of the product with 1 behind an output."""
    return f"{output}/product"


def takes_one(part: onnx.ModelProto) -> bool:
    """Tell whether a part takes one sample at a time."""
    kinds = [value.type.tensor_type for value in part.graph.input]
    return any(len(kind.shape.dim) > 0 and kind.shape.dim[0].dim_value == 1 for kind in kinds)


def _copy(source: onnx.ModelProto, target: onnx.ModelProto, field: str) -> None:
    held = getattr(source, field)
    if isinstance(held, (int, str)):
        setattr(target, field, held)
    else:
        getattr(target, field).extend(held)
