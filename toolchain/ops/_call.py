"""One ONNX node as its importer sees it, and what it can say about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import numpy as np
import onnx
import onnx.helper

from toolchain.errors import UnsupportedOpError, VerifyError
from toolchain.ir.ann import HostOp
from toolchain.ir.node import Array, Node, Shape
from toolchain.ops._builder import GraphBuilder
from toolchain.ops._layout import Value, axes_in_node, inverse

FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Constant:
    """An input that does not depend on the sample.

    Attributes:
        name: Of the ONNX value.
        array: Its elements.
    """

    name: str
    array: Array


Input: TypeAlias = Value | Constant | None


@dataclass(frozen=True, eq=False)
class Call:
    """One ONNX node, with what its inputs have become so far.

    Attributes:
        node: The node; its importer asks for attributes by the methods below.
        name: Unique in the model.
        schema: Of the operator, in the version that the model's opset has.
        inputs: One per input of the node, `None` for one left out.
        dtypes: Names of the element types of the inputs, ``""`` for one left out.
        output_shapes: Of the outputs without their batch axis, as ONNX infers them.
        builder: Takes the nodes made.
        is_at_end: Whether only what the host computes is behind the node.
    """

    node: onnx.NodeProto
    name: str
    schema: onnx.defs.OpSchema
    inputs: tuple[Input, ...]
    dtypes: tuple[str, ...]
    output_shapes: tuple[Shape, ...]
    builder: GraphBuilder
    is_at_end: bool = False
    _known: set[str] = field(default_factory=set)

    @property
    def op_type(self) -> str:
        """Name of the operator."""
        return str(self.node.op_type)

    @property
    def version(self) -> int:
        """Version of the operator: the opset in which it was last changed."""
        return int(self.schema.since_version)

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output without its batch axis, as ONNX infers it."""
        return self.output_shapes[0]

    @property
    def output(self) -> str:
        """Name of the ONNX value that the node computes."""
        return str(self.node.output[0])

    def refuse(self, problem: str, hint: str | None = None) -> NoReturn:
        """Refuse the node.

        Args:
            problem: Goes after the operator's name: "has group=3; ...".
            hint: One imperative sentence.

        Raises:
            UnsupportedOpError: Always.
        """
        raise UnsupportedOpError(f"{self.op_type} {problem}", node=self.name, hint=hint)

    def require(self, holds: bool, problem: str, hint: str | None = None) -> None:
        """Refuse the node unless ``holds``."""
        if not holds:
            self.refuse(problem, hint)

    # Attributes.

    def integer(self, key: str, default: int) -> int:
        """Return an attribute that is an integer."""
        return int(self._attribute(key, default, onnx.AttributeProto.INT))

    def number(self, key: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self._attribute(key, default, onnx.AttributeProto.FLOAT))

    def text(self, key: str, default: str) -> str:
        """Return an attribute that is a string."""
        value = self._attribute(key, default, onnx.AttributeProto.STRING)
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Return an attribute that is a list of integers, `None` where it is absent."""
        value = self._attribute(key, None, onnx.AttributeProto.INTS)
        return None if value is None else tuple(int(element) for element in value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return an attribute that is a list of numbers, empty where it is absent."""
        return tuple(map(float, self._attribute(key, (), onnx.AttributeProto.FLOATS)))

    def _attribute(self, key: str, default: Any, kind: int) -> Any:
        self._known.add(key)
        for attribute in self.node.attribute:
            if attribute.name == key:
                names = onnx.AttributeProto.AttributeType.Name
                needed = f"has {key} of type {names(attribute.type)}; {names(kind)} is needed"
                self.require(attribute.type == kind, needed)
                return onnx.helper.get_attribute_value(attribute)
        return default

    def unknown_attributes(self) -> list[str]:
        """Return the names of attributes that the importer has not asked for."""
        return [a.name for a in self.node.attribute if a.name not in self._known]

    # Inputs.

    def parameter(self, position: int) -> str:
        """Return the operator's own name of an input, for messages."""
        names = [formal.name for formal in self.schema.inputs]
        return str(names[min(position, len(names) - 1)])

    def passed_value(self, position: int = 0) -> Value:
        """Return an input that depends on the sample, of any type and from anywhere.

        For operators that hand on what they read.
        """
        value = self.inputs[position]
        if not isinstance(value, Value):
            self.refuse(
                f"has a constant as {self.parameter(position)}; it must be the value that "
                "depends on the network's input",
                "swap the operands when exporting",
            )
        return value

    def host_value(self, position: int = 0) -> Value:
        """Return an input that depends on the sample, computed by the network or the host."""
        value = self.passed_value(position)
        found = self.dtypes[position]
        self.require(
            found in FLOATS,
            f"reads {found}; {', '.join(FLOATS)} are supported",
            "cast the input to float32 before it",
        )
        return value

    def value(self, position: int = 0) -> Value:
        """Return an input that the network computes from the sample."""
        return self._of_network(self.host_value(position))

    def compared_value(self, position: int = 0) -> Value:
        """Return an input as `value` does, of integers too.

        For operators that only compare, so that their arithmetic is that of any type.
        """
        return self._of_network(self.passed_value(position))

    def _of_network(self, value: Value) -> Value:
        step = self.builder.on_host(value)
        if step is not None:
            raise UnsupportedOpError(
                f"{step.function.title().replace('-', '')} is supported at the end of the "
                f"network only, and {self.name!r} reads it",
                node=step.origin[0],
                hint="use Relu inside the network",
            )
        return value

    def value_position(self) -> int:
        """Return the position of the input that depends on the sample."""
        return next(i for i, x in enumerate(self.inputs) if isinstance(x, Value))

    def has(self, position: int) -> bool:
        """Tell whether an optional input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def raw_constant(self, position: int) -> Array:
        """Return an input that is the same for all samples, as it is in the file."""
        constant = self.inputs[position] if self.has(position) else None
        if not isinstance(constant, Constant):
            self.refuse(f"needs a constant as {self.parameter(position)}")
        return constant.array

    def constant(self, position: int) -> Array:
        """Return an input of finite floats that is the same for all samples.

        float16 becomes float32, whose arithmetic the library has natively.
        """
        array = self.raw_constant(position)
        self.require(
            str(array.dtype) in FLOATS,
            f"has {self.parameter(position)} of type {array.dtype}; {', '.join(FLOATS)} are "
            "supported",
        )
        self.require(
            bool(np.isfinite(array).all()),
            f"has a {self.parameter(position)} that is not finite",
            "train the model again: its weights overflowed",
        )
        self.require(array.size > 0, f"has a {self.parameter(position)} without elements")
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def scalar(self, position: int) -> float:
        """Return an input that is one number, the same for all samples, infinite or not."""
        array = self.raw_constant(position)
        self.require(
            array.size == 1,
            f"has {self.parameter(position)} of shape {array.shape}; one number is supported",
        )
        return float(array.item())

    def beside(self, value: Value, constant: Array) -> Array:
        """Return ``constant``, which goes with ``value``, as one that goes with its node.

        Args:
            value: What the network computes.
            constant: Broadcasts to the ONNX value with its batch axis.

        Returns:
            A scalar or ``(C, 1, 1)`` where that says the same, else the shape of the node.
        """
        self.require(
            broadcasts(constant.shape, (1, *value.shape)),
            f"has a constant of shape {constant.shape}, which does not broadcast to "
            f"{(1, *value.shape)}",
            "repeat values with a convolution or dense layer instead",
        )
        return value.to_node(constant, self.builder.shape(value.node))

    def axes(self, position: int, rank: int) -> tuple[int, ...] | None:
        """Return ``axes``, an attribute in old versions and an input in new ones.

        Args:
            position: Of the input.
            rank: Number of axes, the batch axis included, that negative ones count back from.

        Returns:
            ONNX axes, 0 to ``rank`` - 1, 0 being the batch axis; `None` if absent.
        """
        axes = self.integers("axes")
        if axes is None and self.has(position):
            axes = tuple(int(axis) for axis in self.raw_constant(position).ravel())
        return None if axes is None else tuple(axis % rank for axis in axes)

    # Results.

    def emit(self, kind: type[Node], *sources: str, suffix: str = "", **fields: Any) -> str:
        """Make a node that reads the nodes called ``sources`` and return its name.

        Args:
            kind: Class of the node.
            sources: Names of the nodes it reads.
            suffix: Appended to the ONNX node's name, where one ONNX node becomes several.
            fields: What the class needs besides its name, inputs and origin.
        """
        name = self.name if not suffix else self.builder.unused(f"{self.name}/{suffix}")
        origin = (*fields.pop("absorbed", ()), self.name)
        try:
            return self.builder.add(kind(name=name, inputs=sources, origin=origin, **fields))
        except VerifyError as error:
            self.refuse(error.problem, error.hint)

    def plain(self, value: Value, shape: Shape) -> str:
        """Return the name of a node whose output is the value itself, in ``shape``."""
        return self.builder.plain(value, shape, self.name)

    def spatial(self, value: Value, axes: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Return a node in which ``axes`` of the value are vertical or horizontal.

        Args:
            value: Of two or three axes; one with two is taken as ``(C, 1, L)``.
            axes: Some of its axes, not all.

        Returns:
            Name of a node with output ``(C, H, W)``, and for each axis of the value (of which
            a missing middle one is counted) the node's axis it is.
        """
        wide = value.reshaped(as_planes(value.shape))
        wanted = [2 * axis if len(value.shape) == 2 else axis for axis in axes]
        for found in axes_in_node(wide, self.builder.shape(value.node)):
            if all(found[axis] != 0 for axis in wanted):
                return value.node, found
        channel = next(axis for axis in (0, 2, 1) if axis not in wanted)
        sequence = (channel, *(axis for axis in range(3) if axis != channel))
        if len(value.shape) == 2:
            sequence = (channel, 1, 2 - channel)
        turned = wide.transposed(sequence)
        node = self.plain(turned, turned.shape)
        return node, tuple(int(axis) for axis in inverse(np.asarray(sequence)))

    def view(self, node: str, axes: tuple[int, ...], shape: Shape) -> Value:
        """Return the value whose axes are ``axes`` of a node with three, in ``shape``."""
        node_shape = self.builder.shape(node)
        return Value(node, node_shape).transposed(axes).reshaped(shape)

    def pass_on(self, value: Value) -> Value:
        """Return ``value``, seen in ``output_shape``, as what the node computes.

        Raises:
            UnsupportedOpError: The host would have to change a shape in a way it cannot.
        """
        before = next(x for x in self.inputs if isinstance(x, Value))
        self.builder.pass_on(value.node, self.name)
        if self.builder.on_host(value) is None:
            return value
        self.require(
            value.order is None and self.builder.reshape_tail(before, value.shape),
            "changes the shape of what the host computes at the end of the network",
            "move it before the last operator, or leave it to the caller",
        )
        return value

    def on_host(self, value: Value, function: str, *, suffix: str = "", **fields: Any) -> Value:
        """Return what the host makes of ``value`` at the end; ``suffix`` as in `emit`."""
        name = self.name if not suffix else self.builder.unused(f"{self.name}/{suffix}")
        step = HostOp(name=name, origin=(self.name,), function=function, **fields)
        return self.builder.add_tail(step, value, self.output_shape)


def dtype_name(code: int) -> str:
    """Return NumPy's name of an ONNX element type, ``"unknown"`` if there is none."""
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(code).name)
    except KeyError:
        return "unknown"


def broadcasts(shape: Shape, wanted: Shape) -> bool:
    """Tell whether an array of ``shape`` broadcasts to ``wanted``."""
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def as_planes(shape: Shape) -> Shape:
    """Return ``(C, 1, L)`` for ``(C, L)``, and other shapes as they are."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


Made: TypeAlias = Value | tuple[Value, ...]


class Importer:
    """A function that imports one operator, and the operator's versions it knows.

    Attributes:
        versions: As ONNX numbers them: opsets in which the operator was introduced or changed.
    """

    def __init__(self, function: Callable[[Call], Made], known: tuple[int, ...]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.versions = known

    def __call__(self, call: Call) -> Made:
        """Import one node.

        Raises:
            UnsupportedOpError: The node cannot be said in primitives; it names the node.
        """
        if call.version not in self.versions:
            call.refuse(
                f"has version {call.version}; versions {', '.join(map(str, self.versions))} "
                "are supported",
                "export the model with an older opset",
            )
        value = self._function(call)
        unknown = call.unknown_attributes()
        call.require(not unknown, f"has attribute {', '.join(unknown)}, which is not supported")
        return value


def versions(*known: int) -> Callable[[Callable[[Call], Made]], Importer]:
    """Return a decorator that says which versions of an operator an importer knows."""
    return lambda function: Importer(function, known)
