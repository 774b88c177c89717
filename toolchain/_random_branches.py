"""Draws random networks with branches for `toolchain.testing`, block after block."""

from __future__ import annotations

import dataclasses
import math
from random import Random
from typing import Any

import numpy as np

from toolchain.ir.ann import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array, IndexArray, Node, Shape

_SIZE = 6
_BLOCKS_MAX = 4
_CHANNELS = (2, 3, 4)
_PLANES_MAX = 36


class BranchWriter:
    """Draws one network of images, block after block."""

    def __init__(self, random: Random, is_whole: bool) -> None:
        self.random = random
        self.is_whole = is_whole
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}

    def network(self) -> Graph:
        """Draw everything."""
        shape = (2, _SIZE, _SIZE)
        self.nodes["x"] = Input(name="x", shape=shape, source_shape=shape)
        self.shapes["x"] = shape
        last = "x"
        for _ in range(self.random.randint(1, _BLOCKS_MAX)):
            last = self.random.choice(self.blocks())(last)
        size = math.prod(self.shapes[last])
        last = self.add(Rearrange(name="", inputs=(last,), shape=(size,)))
        if self.chance(3):
            last = self.relu(self.dense(last, 5))
        last = self.dense(last, 3)
        return self.used(Output(name="y", inputs=(last,), shape=(3,), tensor="y"))

    def blocks(self) -> tuple[Any, ...]:
        """Return the ways to go on, each from the name of a node to that of another."""
        return (
            self.plain,
            self.linear,
            self.residual,
            self.projection,
            self.pre_activation,
            self.stream,
            self.dense_block,
            self.inception,
            self.channels_of,
            self.half,
            self.shuffled,
            self.enlarged,
            self.averaged,
            self.two_slopes,
            self.doubled,
        )

    def plain(self, x: str) -> str:
        """Draw a layer with its activation."""
        return self.relu(self.conv(x))

    def linear(self, x: str) -> str:
        """Draw two layers with nothing between them."""
        return self.conv(self.conv(x))

    def residual(self, x: str) -> str:
        """Draw a sum with what two layers make of it, with or without an activation."""
        total = self.added(x, self.conv(self.relu(self.conv(x)), like=x))
        return total if self.chance(3) else self.relu(total)

    def projection(self, x: str) -> str:
        """Draw a sum of two branches that both end in a normalized layer."""
        main = self.conv(self.relu(self.conv(x)), like=x)
        return self.relu(self.added(self.affine(main), self.affine(self.conv(x, like=x))))

    def pre_activation(self, x: str) -> str:
        """Draw a sum behind a branch that normalizes and activates first."""
        return self.added(x, self.conv(self.relu(self.affine(x)), like=x))

    def stream(self, x: str) -> str:
        """Draw a stream without activations to which blocks add."""
        for _ in range(self.random.randint(2, 5)):
            x = self.added(self.conv(self.relu(x), like=x), x)
        return x

    def dense_block(self, x: str) -> str:
        """Draw what a layer makes beside what it reads."""
        return self.joined(x, self.plain(x))

    def inception(self, x: str) -> str:
        """Draw branches of several depths side by side, one of them pooled."""
        short, long = self.plain(x), self.plain(self.plain(x))
        pool = MaxPool(
            name="", inputs=(short,), kernel=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1))
        )
        whole = self.joined(short, long, self.add(pool))
        return self.affine(whole) if self.chance(2) else whole

    def channels_of(self, x: str) -> str:
        """Draw a layer that reads some channels."""
        count = self.random.randint(1, self.shapes[x][0])
        return self.conv(self.chosen(x, self.indices(x)[:count]))

    def half(self, x: str) -> str:
        """Draw a layer for one half of the channels, beside the other half."""
        x = self.relu(self.conv(x, channels=4))
        kept, read = np.split(self.indices(x), 2)
        return self.joined(self.chosen(x, kept), self.plain(self.chosen(x, read)))

    def shuffled(self, x: str) -> str:
        """Draw a layer that reads the channels in another order."""
        order = self.numbers.permutation(self.shapes[x][0])
        return self.conv(self.chosen(x, self.indices(x)[order]))

    def enlarged(self, x: str) -> str:
        """Draw a layer that reads an image twice as large, with repeats or zeros."""
        channels, height, width = self.shapes[x]
        if height * width > _PLANES_MAX:
            return self.plain(x)
        index = self.indices(x)
        if self.chance(2):
            order = index.repeat(2, axis=1).repeat(2, axis=2)
        else:
            order = np.full((channels, 2 * height, 2 * width), -1)
            order[:, ::2, ::2] = index
        return self.relu(self.conv(self.chosen(x, order), stride=2))

    def averaged(self, x: str) -> str:
        """Draw an average over windows."""
        if min(self.shapes[x][1:]) < 3:
            return self.plain(x)
        total = self.add(SumPool(name="", inputs=(x,), kernel=(2, 2), stride=(1, 1)))
        return self.add(Affine(name="", inputs=(total,), scale=np.array(0.25)))

    def two_slopes(self, x: str) -> str:
        """Draw a rectifier that leaks."""
        flipped = self.add(Affine(name="", inputs=(x,), scale=np.array(-1.0)))
        negative = self.relu(flipped)
        slope = self.add(Affine(name="", inputs=(negative,), scale=np.array(-0.25)))
        return self.added(self.relu(x), slope)

    def doubled(self, x: str) -> str:
        """Draw a sum of a value with itself."""
        return self.add(Add(name="", inputs=(x, x)))

    # Nodes.

    def conv(
        self, x: str, *, channels: int = 0, like: str | None = None, stride: int = 1
    ) -> str:
        """Draw a convolution that keeps height and width unless it strides."""
        inputs = self.shapes[x][0]
        channels = self.shapes[like][0] if like else channels or self.random.choice(_CHANNELS)
        is_apart = channels % inputs == 0 and self.chance(4)
        kernel, groups = self.random.choice((1, 3)), inputs if is_apart else 1
        weight = self.weight((channels, inputs // groups, kernel, kernel))
        sides = (kernel // 2, kernel // 2)
        return self.add(
            Conv(
                name="",
                inputs=(x,),
                weight=weight,
                bias=self.values((channels, 1, 1)),
                padding=(sides, sides),
                stride=(stride, stride),
                groups=groups,
            )
        )

    def dense(self, x: str, outputs: int) -> str:
        """Draw a dense layer."""
        weight = self.weight((outputs, self.shapes[x][0]))
        return self.add(
            Dense(name="", inputs=(x,), weight=weight, bias=self.values((outputs,)))
        )

    def affine(self, x: str) -> str:
        """Draw a normalization of each channel."""
        shape = (self.shapes[x][0], 1, 1)
        scale = self.numbers.choice((-0.5, 0.5, 1.0, 2.0), shape)
        return self.add(Affine(name="", inputs=(x,), scale=scale, shift=self.values(shape)))

    def relu(self, x: str) -> str:
        """Draw an activation, with a limit or without one."""
        maximum = self.random.choice((math.inf, math.inf, 2.0))
        return self.add(Relu(name="", inputs=(x,), maximum=maximum))

    def added(self, *inputs: str) -> str:
        """Add up nodes of one shape."""
        return self.add(Add(name="", inputs=inputs))

    def joined(self, *inputs: str) -> str:
        """Join the channels of nodes."""
        return self.add(Concat(name="", inputs=inputs))

    def chosen(self, x: str, order: IndexArray) -> str:
        """Choose values of a node."""
        return self.add(Rearrange(name="", inputs=(x,), shape=order.shape, order=order.ravel()))

    def indices(self, x: str) -> IndexArray:
        """Return the flat index of each value of a node."""
        return np.arange(math.prod(self.shapes[x])).reshape(self.shapes[x])

    def add(self, node: Node) -> str:
        """Append a node under a name of its own, and return that."""
        name = f"{node.kind.lower()}{len(self.nodes)}"
        self.nodes[name] = dataclasses.replace(node, name=name, origin=(name,))
        self.shapes[name] = node.output_shape(*(self.shapes[i] for i in node.inputs))
        return name

    def used(self, *outputs: Output) -> Graph:
        """Return the graph of all inputs, and of what the outputs depend on."""
        read = {source for output in outputs for source in output.inputs}
        read.update(node.name for node in self.nodes.values() if isinstance(node, Input))
        for node in reversed(self.nodes.values()):
            if node.name in read:
                read.update(node.inputs)
        nodes = [node for node in self.nodes.values() if node.name in read]
        names = tuple(node.name for node in nodes if not isinstance(node, Input))
        return Graph("branches", (*nodes, *outputs), names)

    def weight(self, shape: Shape) -> Array:
        """Draw weights ``(out, ...)``."""
        if self.is_whole:
            return self.numbers.integers(-1, 2, shape).astype(np.float32)
        fan_in = math.prod(shape[1:])
        return (self.numbers.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    def values(self, shape: Shape) -> Array:
        """Draw biases or shifts."""
        if self.is_whole:
            return self.numbers.integers(-2, 3, shape).astype(np.float32)
        return np.asarray(self.numbers.normal(0.1, 0.3, shape), np.float32)

    def chance(self, one_in: int) -> bool:
        """Draw true once in so many times."""
        return self.random.randint(1, one_in) == one_in
