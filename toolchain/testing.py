"""Random networks for property tests, and the way from a network to its circuit.

Structure is drawn with `random.Random`, so that hypothesis (``st.randoms()``) can shrink what
it draws: the smallest numbers give the plainest network. Weights come from a seed.

    network = random_network(random)
    x = random_samples(network, random, 16)
    stages = compile_network(network, x, TARGETS["loihi2"], levels=7, lowering="temporal")

This module ships with the product because who adds a pass or a target needs it, too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain.calibration import calibrate
from toolchain.ir.ann import (
    Affine,
    Conv,
    Dense,
    Input,
    MaxPool,
    Output,
    Pair,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.mapped import Circuit
from toolchain.ir.node import Array, Node, Shape
from toolchain.mapping import MAPPINGS
from toolchain.rewriting import Context, run_phase
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]

_HIDDEN_MAX = 3
_CHANNELS_MAX = 6
_NEURONS_MAX = 12
_SCALES = (0.5, 1.0, 2.0)


def chain(shape: Shape, *nodes: Node) -> Graph:
    """Return the imported graph of an input ``x``, the nodes in a row, and an output ``y``.

    Args:
        shape: Of the input.
        nodes: Without inputs, which are set here. Each stands for an ONNX node of its own name
            unless it has an origin.
    """
    return chain_from(Input(name="x", shape=shape, source_shape=shape), *nodes)


def chain_from(entry: Input, *nodes: Node) -> Graph:
    """Return the imported graph of a given input, the nodes in a row, and an output ``y``."""
    wired: list[Node] = [entry]
    for node in nodes:
        origin = node.origin or (node.name,)
        wired.append(dataclasses.replace(node, inputs=(wired[-1].name,), origin=origin))
    source_nodes = tuple(name for node in wired for name in node.origin)
    body = Graph("chain", tuple(wired), source_nodes)
    last = wired[-1].name
    end = Output(name="y", inputs=(last,), shape=body.shapes[last], tensor="y")
    return body.with_nodes((*wired, end))


def random_network(random: Random, *, is_whole: bool = False) -> Graph:
    """Return a small imported network that the passes can prepare.

    Convolutions with any geometry, dense layers, normalizations, pools before and behind the
    activation, and rearrangements, in one to three hidden layers.

    Args:
        random: Source of all choices.
        is_whole: Whether weights are small integers and scales are powers of two, so that on
            whole samples floating point never rounds and rewrites can be compared exactly.
    """
    return _Writer(random, is_whole).network()


def random_samples(
    graph: Graph, random: Random, count: int, *, is_whole: bool = False
) -> npt.NDArray[Any]:
    """Return samples ``(count, *source_shape)``: pixels, fractions of 255, or signed floats.

    Args:
        graph: Whose input they are for.
        random: Source of all choices.
        count: Number of samples.
        is_whole: Whether they are integers of both signs instead.
    """
    numbers = np.random.default_rng(random.getrandbits(32))
    shape = (count, *graph.input.source_shape)
    if is_whole:
        return numbers.integers(-4, 5, shape)
    kind = random.choice(("signed", "pixels", "fractions"))
    if kind == "signed":
        return numbers.normal(size=shape).astype(np.float32)
    pixels = numbers.integers(0, 256, shape).astype(np.uint8)
    return pixels if kind == "pixels" else (pixels / 255).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Stages:
    """A network after every phase.

    Attributes:
        context: Of the passes, with the calibration.
        prepared: After `Phase.PREPARE`.
        converted: After `Phase.CONVERT`.
        lowered: After `Phase.LOWER`.
        quantized: After `Phase.QUANTIZE`.
        circuit: What that was mapped to.
    """

    context: Context
    prepared: Graph
    converted: Graph
    lowered: Graph
    quantized: Graph
    circuit: Circuit


def compile_network(
    graph: Graph,
    x: npt.NDArray[Any],
    target: Target,
    *,
    levels: int,
    lowering: str,
    method: str = "mmse",
) -> Stages:
    """Take a network through all phases.

    Args:
        graph: Imported.
        x: Calibration samples ``(samples, *source_shape)``.
        target: The chip.
        levels: Largest spike count of a neuron in a window, >= 1.
        lowering: ``temporal`` or ``spatial``.
        method: Name of the conversion method.

    Raises:
        CompileError: A pass refuses the network, or it does not fit.
    """
    context = Context(target=target, levels=levels, method=method, lowering=lowering)
    prepared = after_phase(graph, Phase.PREPARE, context)
    context = dataclasses.replace(context, calibration=calibrate(prepared, x))
    converted = after_phase(prepared, Phase.CONVERT, context)
    lowered = after_phase(converted, Phase.LOWER, context)
    quantized = after_phase(lowered, Phase.QUANTIZE, context)
    circuit = MAPPINGS[lowering](quantized, target)
    return Stages(context, prepared, converted, lowered, quantized, circuit)


def after_phase(graph: Graph, phase: Phase, context: Context) -> Graph:
    """Return the graph after the passes of one phase.

    Raises:
        CompileError: A pass refuses the network.
    """
    for _, after in run_phase(graph, phase, context):
        graph = after
    return graph


def extreme_inputs(graph: Graph, random: Random, count: int) -> Ints:
    """Return encoded samples ``(count, *shape)`` at the ends of the encoding's range.

    The first two are the lowest and the highest, then those that drive random neurons of the
    first layer as far as possible if it is dense, the rest random.

    Args:
        graph: Converted or later.
        random: Source of all choices.
        count: Number of samples, >= 2.
    """
    entry = graph.input
    low, high = (entry.encoding.low, entry.encoding.high) if entry.encoding else (0, 0)
    numbers = np.random.default_rng(random.getrandbits(32))
    is_high = numbers.integers(0, 2, (count, *entry.shape)).astype(bool)
    is_high[0], is_high[1] = False, True
    layer = next((node for node in graph if isinstance(node, Dense)), None)
    if layer is not None and graph.feeder(layer) is entry:
        rows = numbers.integers(0, len(layer.weight), len(is_high[2 : 2 + count // 2]))
        signs = numbers.choice((-1, 1), (len(rows), 1)) * layer.weight[rows]
        is_high[2 : 2 + count // 2] = (signs > 0).reshape(-1, *entry.shape)
    return np.where(is_high, high, low).astype(np.int64)


def samples_of(entry: Input, encoded: Ints) -> npt.NDArray[np.float64]:
    """Return the samples ``(batch, *source_shape)`` that an input encodes as ``encoded``."""
    scale = entry.encoding.scale if entry.encoding else 1.0
    flat = encoded.reshape(len(encoded), -1) * scale
    samples = np.empty_like(flat)
    samples[:, slice(None) if entry.order is None else entry.order.ravel()] = flat
    return samples.reshape(len(encoded), *entry.source_shape)


class _Writer:
    """Draws one network, node after node."""

    def __init__(self, random: Random, is_whole: bool) -> None:
        self.random = random
        self.is_whole = is_whole
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.nodes: list[Node] = []
        self.shape: Shape = ()

    def network(self) -> Graph:
        """Draw everything."""
        entry = self.entry()
        if len(self.shape) == 3 and self.chance(6):
            self.add_sum_pool()
        elif self.chance(3):
            self.add_affine()
        for _ in range(self.between(1, _HIDDEN_MAX)):
            self.add_hidden()
        self.add_layer()
        if self.chance(5):
            self.add_rearrangement((int(np.prod(self.shape)),))
        return chain_from(entry, *self.nodes)

    def entry(self) -> Input:
        """Draw the input; images may come with their channels last."""
        if self.chance(4):
            self.shape = (self.between(2, _NEURONS_MAX),)
            return Input(name="x", shape=self.shape, source_shape=self.shape)
        channels, height, width = self.between(1, 3), self.between(4, 8), self.between(4, 8)
        self.shape = (channels, height, width)
        if not self.chance(3):
            return Input(name="x", shape=self.shape, source_shape=self.shape)
        last = (height, width, channels)
        order = np.arange(height * width * channels).reshape(last).transpose(2, 0, 1).ravel()
        self.add(Rearrange(name="", shape=self.shape, order=order), self.shape)
        return Input(name="x", shape=last, source_shape=last)

    def add_hidden(self) -> None:
        """Draw a layer with its activation and what may stand around it."""
        self.add_layer()
        is_image = len(self.shape) == 3
        if is_image and self.chance(6):
            self.add_sum_pool(divides=True)
        elif self.chance(3):
            self.add_affine(is_signed=True)
        if is_image and self.chance(4):
            self.add_max_pool()
        self.add(Relu(name=""), self.shape)
        if self.chance(5):
            self.add_affine()
        if is_image and self.chance(3):
            self.add_max_pool()
        elif is_image and self.chance(4):
            self.add_sum_pool(divides=True)

    def add_layer(self) -> None:
        """Draw a convolution, or a dense layer behind one or two rearrangements."""
        if len(self.shape) == 3 and not self.chance(3):
            self.add_convolution()
            return
        size = int(np.prod(self.shape))
        if len(self.shape) == 3 and self.chance(3):
            self.add_rearrangement((size, 1, 1))
        if len(self.shape) == 3 or self.chance(4):
            self.add_rearrangement((size,))
        outputs = self.between(1, _NEURONS_MAX)
        weight, bias = self.weight((outputs, size)), self.values((outputs,))
        self.add(Dense(name="", weight=weight, bias=bias), (outputs,))

    def add_convolution(self) -> None:
        """Draw a convolution; behind a sum-pool without padding, with which it composes."""
        channels, *size = self.shape
        groups = self.random.choice([g for g in (1, 2, 3) if channels % g == 0])
        outputs = groups * self.between(1, _CHANNELS_MAX // groups)
        kernel, dilation, padding = [], [], []
        for length in size:
            kernel.append(self.between(1, min(3, length)))
            spaced = kernel[-1] > 1 and 2 * (kernel[-1] - 1) < length and self.chance(3)
            dilation.append(2 if spaced else 1)
            most = 0 if self.follows_sum_pool() else kernel[-1] - 1
            padding.append((self.between(0, most), self.between(0, most)))
        node = Conv(
            name="",
            weight=self.weight((outputs, channels // groups, *kernel)),
            bias=self.values((outputs, 1, 1)),
            stride=(self.between(1, 2), self.between(1, 2)),
            padding=(padding[0], padding[1]),
            dilation=(dilation[0], dilation[1]),
            groups=groups,
        )
        self.add(node, node.output_shape(self.shape))

    def add_max_pool(self) -> None:
        """Draw a max-pool; its windows may overlap and reach into padding."""
        kernel, stride = self.window()
        low, high = (self.between(0, min(kernel) - 1) for _ in range(2))
        pool = MaxPool(
            name="", kernel=kernel, stride=stride, padding=((low, high), (high, low))
        )
        self.add(pool, pool.output_shape(self.shape))

    def add_sum_pool(self, *, divides: bool = False) -> None:
        """Draw a sum-pool, with what makes an average of it."""
        kernel, stride = self.window()
        pool = SumPool(name="", kernel=kernel, stride=stride)
        self.add(pool, pool.output_shape(self.shape))
        if divides:
            area = 4 if self.is_whole else kernel[0] * kernel[1]
            self.add(Affine(name="", scale=np.array(1 / area)), self.shape)

    def add_affine(self, *, is_signed: bool = False) -> None:
        """Draw a normalization of each channel, or one of everything."""
        shape = (self.shape[0], *(1 for _ in self.shape[1:])) if not self.chance(4) else ()
        scale = self.numbers.choice(_SCALES, shape)
        if is_signed:
            scale = scale * self.numbers.choice((-1, 1), shape)
        node = Affine(name="", scale=np.asarray(scale), shift=self.values(shape))
        self.add(node, self.shape)

    def add_rearrangement(self, shape: Shape) -> None:
        """Draw a reshape or a permutation."""
        size = int(np.prod(shape))
        order = self.numbers.permutation(size) if self.chance(2) else None
        self.add(Rearrange(name="", shape=shape, order=order), shape)

    def add(self, node: Node, shape: Shape) -> None:
        """Append a node under a name of its own."""
        name = f"{node.kind.lower()}{len(self.nodes) + 1}"
        self.nodes.append(dataclasses.replace(node, name=name))
        self.shape = shape

    def window(self) -> tuple[Pair, Pair]:
        """Draw kernel and stride of a pool."""
        rows, columns = (self.between(1, min(3, size)) for size in self.shape[1:])
        return (rows, columns), (self.between(1, 2), self.between(1, 2))

    def follows_sum_pool(self) -> bool:
        """Tell whether a sum-pool stands before the next node, with or without an affine."""
        recent = [node for node in self.nodes[-3:] if not isinstance(node, Affine)]
        return bool(recent) and isinstance(recent[-1], SumPool)

    def weight(self, shape: Shape) -> Array:
        """Draw weights ``(out, ...)``."""
        if self.is_whole:
            return self.numbers.integers(-2, 3, shape).astype(np.float32)
        fan_in = int(np.prod(shape[1:]))
        return (self.numbers.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)

    def values(self, shape: Shape) -> Array:
        """Draw biases or shifts."""
        if self.is_whole:
            return self.numbers.integers(-4, 5, shape).astype(np.float32)
        return np.asarray(self.numbers.normal(0.2, 0.5, shape), np.float32)

    def between(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return self.random.randint(low, high)

    def chance(self, one_in: int) -> bool:
        """Draw true once in so many times."""
        return self.random.randint(1, one_in) == one_in
