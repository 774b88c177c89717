"""Networks of integers with branches, and ways to run a twin."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from targets.twin.model import network_model
from toolchain.ir.ann import Add, Conv, Dense, Encoding, Input, MaxPool, Output, Rearrange
from toolchain.ir.graph import Graph
from toolchain.ir.snn import MultiThreshold


class Branches:
    """Draws a network of integers whose populations read one layer or two.

    Some have windows that inhibit later ones, and layers without weights for some windows.
    """

    def __init__(self, random):
        self.random = random
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.nodes = []
        self.shapes = {}

    def graph(self):
        low = self.random.choice((0, 0, -1, -128, -255))
        high = self.random.choice((1, 15, 127, 255))
        shape = (
            self.random.randint(1, 3),
            self.random.randint(3, 7),
            self.random.randint(3, 7),
        )
        self.add(
            Input(name="x", shape=shape, source_shape=shape, encoding=Encoding(1.0, low, high))
        )
        recent = ["x"]
        for _ in range(self.random.randint(1, 3)):
            recent.append(self.population(recent))
            if self.random.random() < 0.3:
                recent = [self.pool(recent[-1])]
        flat = [self.flattened(name) for name in recent[-2:]]
        hidden = self.neurons(self.dense(name, 5) for name in flat)
        last = self.sum([self.dense(name, 3) for name in (hidden, flat[0])])
        self.add(Output(name="y", inputs=(last,), shape=(3,), tensor="y"))
        return Graph("branches", tuple(self.nodes))

    def population(self, recent):
        """Draw a convolution of what is recent, or two with other kernels or other inputs."""
        first = self.random.choice(recent[-2:])
        channels = self.random.randint(1, 4) * self.random.randint(1, 3)
        layers = [self.conv(first, channels)]
        if self.random.random() < 0.7:
            shape = self.shapes[layers[0]]
            other = [n for n in recent[-2:] if self.shapes[n][1:] == self.shapes[first][1:]]
            if self.random.random() < 0.5:
                layers.append(self.skip(layers[0]))
            else:
                twin = self.conv(self.random.choice(other), channels, like=layers[0])
                layers += [twin] if self.shapes[twin] == shape else []
        return self.neurons(layers)

    def conv(self, source, channels, like=None):
        before = self.shapes[source]
        kernel = [self.random.randint(1, min(3, size)) for size in before[1:]]
        stride = [self.random.randint(1, 2) for _ in kernel]
        padding = [
            (self.random.randint(0, k - 1), self.random.randint(0, k - 1)) for k in kernel
        ]
        if self.random.random() < 0.5:  # as many outputs as inputs, or every other
            padding = [((k - 1) // 2, k // 2) for k in kernel]
            stride = [self.random.randint(1, 2)] * 2
        groups = 1
        if like is not None:
            model = next(node for node in self.nodes if node.name == like)
            kernel, stride, padding = model.kernel, model.stride, model.padding
        elif before[0] == channels and self.random.random() < 0.3:
            groups = channels
        weight = self.weights((channels, before[0] // groups, *kernel))
        bias = (channels, 1, 1)
        node = Conv(
            name="",
            inputs=(source,),
            weight=weight,
            stride=tuple(stride),
            padding=tuple(padding),
            groups=groups,
        )
        if self.random.random() < 0.1:
            bias = node.output_shape(before)
        return self.add(Conv(**{**vars(node), "bias": self.numbers.integers(-99, 99, bias)}))

    def skip(self, like):
        """Draw a layer of one tap and wide weights that ends where another one does."""
        after = self.shapes[like]
        layer = next(node for node in self.nodes if node.name == like)
        ends = [
            (node.name, stride)
            for node in self.nodes
            if isinstance(node, (Input, MultiThreshold, MaxPool))
            for stride in (1, 2)
            if [-(-size // stride) for size in self.shapes[node.name][1:]] == list(after[1:])
        ]
        if not ends:
            return self.conv(layer.inputs[0], after[0], like=like)
        source, stride = self.random.choice(ends)
        weight = self.weights((after[0], self.shapes[source][0], 1, 1), largest=1500)
        return self.add(Conv(name="", inputs=(source,), weight=weight, stride=(stride, stride)))

    def dense(self, source, outputs):
        weight = self.weights((outputs, *self.shapes[source]))
        bias = self.numbers.integers(-40000, 40000, outputs)
        return self.add(Dense(name="", inputs=(source,), weight=weight, bias=bias))

    def neurons(self, layers):
        total = self.sum(list(layers))
        shape = self.shapes[total]
        levels = self.random.choice((1, 4, 15, 255, 300))
        threshold = self.numbers.integers(1, 3000, (shape[0], *(1 for _ in shape[1:])))
        initial = self.random.choice((0, threshold // 2))
        windows = self.random.choice([n for n in (1, 2, 3, 4) if shape[0] % n == 0])
        return self.add(
            MultiThreshold(
                name="",
                inputs=(total,),
                levels=levels,
                threshold=threshold,
                initial=np.asarray(initial),
                windows=windows,
                lateral=self.lateral(np.ravel(threshold), windows),
            )
        )

    def lateral(self, threshold, windows):
        """Draw what windows take from later ones: parts of a threshold, or anything."""
        shape = (windows, windows, len(threshold) // windows)
        age = np.subtract.outer(np.arange(windows), np.arange(windows))[:, :, None]
        retention = self.random.choice((0, 0.5, 0.9, 1))
        kept = retention ** np.maximum(age, 0) * threshold.reshape(windows, 1, -1)
        taken = self.random.choice((kept, self.numbers.integers(0, 2500, shape)))
        return np.where(age > 0, np.rint(taken), 0).astype(np.int64)

    def sum(self, layers):
        return layers[0] if len(layers) == 1 else self.add(Add(name="", inputs=tuple(layers)))

    def pool(self, source):
        kernel = tuple(self.random.randint(1, min(2, size)) for size in self.shapes[source][1:])
        padding = tuple((0, k - 1) for k in kernel)
        stride = (self.random.randint(1, 2), 1)
        return self.add(
            MaxPool(name="", inputs=(source,), kernel=kernel, stride=stride, padding=padding)
        )

    def flattened(self, source):
        size = int(np.prod(self.shapes[source]))
        order = self.random.choice((None, self.numbers.integers(-1, size, size)))
        return self.add(Rearrange(name="", inputs=(source,), shape=(size,), order=order))

    def weights(self, shape, largest=127):
        weight = self.numbers.integers(-largest, largest + 1, shape)
        if self.random.random() < 0.3:  # windows that do not look ahead
            weight[: shape[0] // 2, shape[1] // 2 :] = 0
        return weight

    def add(self, node):
        name = node.name or f"{node.kind.lower()}{len(self.nodes)}"
        node = type(node)(**{**vars(node), "name": name})
        self.nodes.append(node)
        self.shapes[name] = node.output_shape(*(self.shapes[source] for source in node.inputs))
        return name


@pytest.fixture
def branches():
    """Return a function that draws a network of integers with branches."""
    return lambda random: Branches(random).graph()


@pytest.fixture
def run_model():
    """Return a function that runs an ONNX model, optimized or node by node in one thread."""

    def run(model, x, *, is_optimized):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if not is_optimized:
            options.graph_optimization_level = (
                onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            )
            options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, {session.get_inputs()[0].name: x})

    return run


@pytest.fixture
def run_network(run_model):
    """Return a function that runs a network from integers: its sums, and counts by name."""

    def run(layout, encoded, *, is_optimized=True):
        entry, names = layout.signals[layout.graph.input.name], list(layout.forms)
        model = b"".join(network_model(layout, names).pieces())
        x = (encoded + entry.zero_point).astype(np.uint8 if entry.is_bytes else np.float32)
        sums, *counts = run_model(model, x, is_optimized=is_optimized)
        limited = {
            name: np.minimum(sent, layout.graph[name].levels)
            for name, sent in zip(names, counts, strict=True)
        }
        return sums, limited

    return run
