r"""Primitives of the analogue network; the linear ones serve the spiking network unchanged.

Tensors are in channel-first order, ``(C, H, W)`` or ``(N,)``. Every ONNX operator is imported
as these few, so that conversion to spikes is nothing but swapping activations for neurons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from toolchain.ir.convolution import output_size
from toolchain.ir.node import Array, IndexArray, Node, Shape

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]

_ZERO = np.zeros(())
_ONE = np.ones(())
_READS_MAX = 2

SMOOTH_ON_HOST = ("sigmoid", "tanh", "softplus", "softsign", "erf")
"""Elementary functions that the host computes at the end of a network."""


@dataclass(frozen=True)
class Encoding:
    """How the host turns a sample into the integers that enter the chip.

    The integer is ``clip(rint(x / scale), low, high)``.

    Attributes:
        scale: Units of the model's input per unit of the integer; > 0.
        low: Smallest integer; 0 for data that are never negative.
        high: Largest integer.
        tensor: Name of the ONNX value that holds the integers, in the order of the model's
            input, where a quantized model has one.
        tensor_zero: What that value holds for the integer 0.
    """

    scale: float
    low: int
    high: int
    tensor: str = field(default="", repr=False)
    tensor_zero: int = field(default=0, repr=False)

    @property
    def message_bits(self) -> int:
        """Bits of the payload, with one for the sign whether it is used or not."""
        return max(self.high, -self.low - 1).bit_length() + 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Input(Node):
    """The sample, as the model's user gives it, brought into channel-first order by the host.

    ``y.flat = x.flat[offset:][order]``, then `Encoding` once the network is converted.

    Attributes:
        shape: Of the output.
        source_shape: Of the model's input without its batch axis.
        offset: Where in a sample it begins: of a model with several inputs a sample is all of
            them, flattened, one after the other.
        order: Flat index into the model's input for each element of the output; `None` keeps
            the order.
        encoding: Integers that stand for the sample; `None` before conversion.
        windows: Windows of a sample, each of ``source_shape``; with more than 1 the sample has
            an axis of them before all others.
        tensor: Name of the ONNX input; empty where there is no model.
        dtype: Its element type, as NumPy calls it.
    """

    shape: Shape
    source_shape: Shape
    order: IndexArray | None = None
    encoding: Encoding | None = None
    windows: int = 1
    tensor: str = ""
    dtype: str = "float32"
    offset: int = 0

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``shape``; an input reads nothing."""
        self._require_order(self.order, int(np.prod(self.source_shape)), self.shape)
        return self.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense(Node):
    """All-to-all linear layer, ``y = weight @ x + bias``.

    Attributes:
        weight: ``(out, in)``.
        bias: ``(out,)`` or a scalar.
    """

    weight: Array
    bias: Array = field(default_factory=lambda: _ZERO)

    @property
    def bias_by_row(self) -> Array:
        """The bias as ``(out,)``."""
        return np.broadcast_to(self.bias, (len(self.weight),))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``(out,)``."""
        (shape,) = inputs
        self._require(self.weight.ndim == 2, f"has weights of shape {self.weight.shape}")
        self._require(
            shape == (self.weight.shape[1],),
            f"reads {shape} and has weights for {self.weight.shape[1]} inputs",
        )
        self._broadcasts("bias", (self.weight.shape[0],))
        return (self.weight.shape[0],)


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Node):
    """2-D cross-correlation with shared kernels, plus a bias.

    Attributes:
        weight: ``(C_out, C_in / groups, kernel_height, kernel_width)``.
        bias: ``(C_out, 1, 1)``, ``(C_out, H, W)`` or a scalar.
        stride: Vertical and horizontal step, >= 1.
        padding: Zeros added, ``((top, bottom), (left, right))``, >= 0.
        dilation: Vertical and horizontal spacing of kernel entries, >= 1.
        groups: Number of independent groups of channels.
    """

    weight: Array
    bias: Array = field(default_factory=lambda: _ZERO)
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def bias_by_row(self) -> Array:
        """The bias as ``(C_out, 1, 1)`` or ``(C_out, H, W)``."""
        positions = np.shape(self.bias)[1:] or (1, 1)
        return np.broadcast_to(self.bias, (len(self.weight), *positions))

    @property
    def kernel(self) -> Pair:
        """Kernel height and width."""
        return (self.weight.shape[2], self.weight.shape[3])

    @property
    def is_skip(self) -> bool:
        """Whether each output reads at most two inputs, at its own position and nowhere else.

        So do the scaled copies that carry values past other layers. They have one synapse for
        each value, so that their weights may be spread over more than one.
        """
        is_point = self.kernel == (1, 1) and self.stride == (1, 1)
        return is_point and self.weight.shape[1] <= _READS_MAX and not np.any(self.padding)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``(C_out, H, W)``."""
        (shape,) = inputs
        self._require(len(shape) == 3, f"reads {shape}; a convolution reads (C, H, W)")
        self._require(self.weight.ndim == 4, f"has weights of shape {self.weight.shape}")
        self._require(self.groups >= 1, f"has {self.groups} groups")
        self._require(
            shape[0] == self.weight.shape[1] * self.groups
            and self.weight.shape[0] % self.groups == 0,
            f"reads {shape[0]} channels and has weights {self.weight.shape} in "
            f"{self.groups} groups",
        )
        size = output_size(
            (shape[1], shape[2]), self.kernel, self.stride, self.padding, self.dilation
        )
        self._require(min(size) > 0, f"kernel {self.kernel} is larger than its input {shape}")
        self._broadcasts("bias", (self.weight.shape[0], *size))
        return (self.weight.shape[0], *size)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pool(Node):
    kernel: Pair
    stride: Pair
    padding: Padding = ((0, 0), (0, 0))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``(C, H, W)``."""
        (shape,) = inputs
        self._require(len(shape) == 3, f"reads {shape}; a pool reads (C, H, W)")
        size = output_size((shape[1], shape[2]), self.kernel, self.stride, self.padding)
        self._require(min(size) > 0, f"window {self.kernel} is larger than its input {shape}")
        return (shape[0], *size)


@dataclass(frozen=True, kw_only=True, eq=False)
class SumPool(_Pool):
    """Sum over windows of each channel; padding counts as 0.

    An average pool is this and an `Affine` that divides.

    Attributes:
        kernel: Window height and width.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool(_Pool):
    """Largest value in windows of each channel; padding never wins.

    Attributes:
        kernel: Window height and width.
        stride: Vertical and horizontal step, >= 1.
        padding: ``((top, bottom), (left, right))``, >= 0.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Node):
    """Elementwise sum of two or more tensors of one shape: where branches of a network join.

    Synapses of several layers into one population add up, so behind `Phase.PREPARE` a sum is
    one of layers, and nothing but the neurons (or the output) behind it reads them.
    """

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape that all inputs have."""
        self._require(len(inputs) > 1, f"adds {len(inputs)} tensors; it must be 2 or more")
        self._require(
            len(set(inputs)) == 1, f"adds tensors of shapes {', '.join(map(str, inputs))}"
        )
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Concat(Node):
    """Tensors one after the other along their first axis, the channels."""

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``(C, H, W)`` or ``(N,)`` with the channels of all inputs."""
        rests = {shape[1:] for shape in inputs}
        self._require(
            len(inputs) > 0 and len(rests) == 1,
            f"joins tensors of shapes {', '.join(map(str, inputs))}",
        )
        return (sum(shape[0] for shape in inputs), *rests.pop())


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(Node):
    """Elementwise ``y = scale * x + shift``: normalization of inputs and batches, averages.

    Attributes:
        scale: Broadcasts to the shape of the input.
        shift: Broadcasts to the shape of the input.
    """

    scale: Array = field(default_factory=lambda: _ONE)
    shift: Array = field(default_factory=lambda: _ZERO)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        self._broadcasts("scale", inputs[0])
        self._broadcasts("shift", inputs[0])
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rearrange(Node):
    """Values in another shape, order or choice: ``y.flat = x.flat[order]``, 0 for index -1.

    Flatten, reshape, squeeze, transpose, slice, repeat and insertion of zeros, alone or in a
    row.

    Attributes:
        shape: Of the output.
        order: Flat index into the input for each element of the output, -1 for a zero; `None`
            keeps all elements in their order.
    """

    shape: Shape
    order: IndexArray | None = None

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return ``shape``."""
        size, wanted = int(np.prod(inputs[0])), int(np.prod(self.shape))
        found = size if self.order is None else self.order.size
        self._require(found == wanted, f"makes {self.shape} of {inputs[0]}")
        self._require(
            self.order is None or (self.order.size > 0 and self.order.min() >= -1),
            "reads a negative index",
        )
        self._require(
            self.order is None or int(self.order.max()) < size, f"reads beyond {inputs[0]}"
        )
        return self.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Relu(Node):
    """Rectifier, ``y = min(max(x, 0), maximum)``: the activation that neurons replace.

    Attributes:
        maximum: Upper limit, > 0; infinite for a plain rectifier. One for all, or
            ``(C, 1, 1)``, ``(N,)``.
        tensor: Name of the ONNX value that holds the output, to compare them by; empty where
            there is none.
        tensor_order: Flat index into that value (without batch axis) for each element of the
            output; `None` keeps the order.
    """

    maximum: float | Array = math.inf
    tensor: str = ""
    tensor_order: IndexArray | None = None

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input."""
        return inputs[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class HostOp(Node):
    """An operation that the host runs on the outputs, after the chip.

    Attributes:
        function: ``softmax``, ``log-softmax``, ``argmax``, ``relu``, one of `SMOOTH_ON_HOST`,
            ``affine`` (``factor * x + shift``) or ``round`` (``clip(rint(x), low, high)``,
            halves to even).
        axis: Axis of the model's output without its batch axis; `None` for all of them
            together.
        keep_axis: Whether ``argmax`` keeps the axis it reduces, with length 1.
        factor: Of ``affine``.
        shift: Of ``affine``.
        low: Of ``round``.
        high: Of ``round``.
        tensor: Of ``round``: name of the ONNX value that holds its result, to compare them by.
        tensor_zero: What that value holds where the result is 0.
    """

    function: str
    axis: int | None = None
    keep_axis: bool = True
    factor: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    tensor: str = ""
    tensor_zero: int = 0

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input, less the axis that ``argmax`` reduces."""
        (shape,) = inputs
        if self.function != "argmax" or self.axis is None:
            return shape
        kept = (1,) if self.keep_axis else ()
        return (*shape[: self.axis], *kept, *shape[self.axis + 1 :])


@dataclass(frozen=True, kw_only=True, eq=False)
class Output(Node):
    """What the model returns: ``decode(scale * x + offset)``, then the host's tail.

    Attributes:
        shape: Of the model's output before ``tail``, without its batch axis.
        tensor: Name of the ONNX output.
        order: Flat index into the input for each element of the output; `None` keeps the order.
        scale: Units of the model's output per unit of ``x``; broadcasts to the input.
        offset: Added by the host, in units of the model's output; broadcasts to the input.
        tail: What the host does then, in order.
        dtype: Element type of the ONNX output, as NumPy calls it.
    """

    shape: Shape
    tensor: str = ""
    order: IndexArray | None = None
    scale: Array = field(default_factory=lambda: _ONE)
    offset: Array = field(default_factory=lambda: _ZERO)
    tail: tuple[HostOp, ...] = ()
    dtype: str = "float32"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the model's output."""
        self._broadcasts("scale", inputs[0])
        self._broadcasts("offset", inputs[0])
        self._require_order(self.order, int(np.prod(inputs[0])), self.shape)
        shape = self.shape
        for step in self.tail:
            shape = step.output_shape(shape)
        return shape
