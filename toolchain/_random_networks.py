"""Draws random networks for `toolchain.testing`, node after node."""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np

from toolchain.ir.ann import (
    Affine,
    Conv,
    Dense,
    Input,
    MaxPool,
    Pair,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.node import Array, Node, Shape
from toolchain.ir.snn import LmHt

_HIDDEN_MAX = 3
_CHANNELS_MAX = 6
_NEURONS_MAX = 12
_LEVELS_MAX = 16
_WINDOWS_MAX = 6
_SCALES = (0.5, 1.0, 2.0)


class Writer:
    """Draws one network, node after node."""

    def __init__(self, random: Random, is_whole: bool) -> None:
        self.random = random
        self.is_whole = is_whole
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.nodes: list[Node] = []
        self.shape: Shape = ()

    def network(self) -> list[Node]:
        """Draw everything: the input and the nodes behind it, in a row."""
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
        return [entry, *self.nodes]

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


class WindowsWriter(Writer):
    """Draws one network of `LmHt` neurons, all with the same number of windows."""

    def __init__(self, random: Random, is_whole: bool, is_even: bool) -> None:
        super().__init__(random, is_whole)
        self.is_even = is_even

    def network(self) -> list[Node]:
        """Draw everything: the input and the nodes behind it, in a row."""
        self.windows = self.between(1, _WINDOWS_MAX)
        self.keep = self.random.choice((np.array, np.tril, lambda m: np.diag(np.diag(m))))
        entry = self.entry()
        for _ in range(self.between(1, 2 * _HIDDEN_MAX)):
            self.add_hidden()
        self.add_layer()
        windows = self.windows if self.chance(2) and not self.is_even else 1
        return [dataclasses.replace(entry, windows=windows), *self.nodes]

    def add_hidden(self) -> None:
        """Draw a layer with its neurons and a pool."""
        self.add_layer()
        if self.chance(4):
            self.add_affine(is_signed=True)
        self.add(self.neurons(), self.shape)
        if len(self.shape) == 3 and self.chance(3) and not self.is_even:
            self.add_max_pool()
        elif len(self.shape) == 3 and self.chance(4):
            self.add_sum_pool(divides=True)

    def neurons(self) -> LmHt:
        """Draw the neurons of one layer."""
        mixing = self.numbers.normal(1 / self.windows, 0.5, (self.windows, self.windows))
        threshold, retention = self.random.uniform(0.3, 1.5), self.random.uniform(0.5, 1.0)
        if self.is_whole:
            mixing, threshold = np.rint(4 * mixing) / 4, self.random.choice((0.5, 1.0, 2.0))
            retention = self.random.choice((0.5, 0.75, 1.0))
        if self.is_even:
            mixing, retention = np.full_like(mixing, mixing[0, 0]), 1.0
        return LmHt(
            name="",
            levels=self.between(1, _LEVELS_MAX),
            threshold=threshold,
            mixing=mixing if self.is_even else self.keep(mixing),
            retention=retention,
            initial=self.random.choice((0.0, threshold / 2)),
        )
