"""The networks of the benchmarks, built in code: LeNet, VGG-16 and ResNet-18.

    network = read_network("vgg16:width=0.5,side=64")
    model = build(network)
    x = draw_samples(network, 64)

Weights are random (He et al. 2015) and the same for the same network. Random weights alone
would let most neurons die or saturate, so each layer is normalized while the network is
built: on a calibration batch every channel gets mean 0 and variance 1 in front of its
rectifier, as batch normalization leaves it in a trained network. About half of the neurons are
then active for a sample. Nothing here needs a download, and no file lies in the repository.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats: TypeAlias = npt.NDArray[np.float32]

CLASSES = 10
_CALIBRATION = 32
_OPSET, _IR_VERSION = 17, 8
_VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_RESNET = ((64, 1), (128, 2), (256, 2), (512, 2))


@dataclass(frozen=True)
class Network:
    """One of the networks, scaled.

    Attributes:
        kind: ``lenet``, ``vgg16`` or ``resnet18``.
        width: Factor on all hidden channels, > 0.
        depth: How many convolutions (LeNet: behind the second; VGG-16) or residual blocks
            (ResNet-18) take the place of one, >= 1.
        side: Height and width of the input; 0 takes 28 for LeNet and 32 for the others.
        is_folded: Whether batch normalization is folded into the weights.
    """

    kind: str
    width: float = 1.0
    depth: int = 1
    side: int = 0
    is_folded: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a sample."""
        side = self.side or (28 if self.kind == "lenet" else 32)
        return (1 if self.kind == "lenet" else 3, side, side)

    def __str__(self) -> str:
        changed = [
            f"{field.name.removeprefix('is_')}={getattr(self, field.name):g}"
            for field in dataclasses.fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return self.kind + (":" + ",".join(changed) if changed else "")


def read_network(text: str) -> Network:
    """Return the network that its text form names: ``kind`` or ``kind:width=0.5,depth=2``."""
    kind, _, given = text.partition(":")
    if kind not in _BUILDERS:
        raise SystemExit(f"no network is called {kind!r}; known: {', '.join(_BUILDERS)}")
    values = dict(pair.split("=") for pair in given.split(",") if pair)
    return Network(
        kind,
        width=float(values.pop("width", 1)),
        depth=int(values.pop("depth", 1)),
        side=int(values.pop("side", 0)),
        is_folded=bool(int(values.pop("folded", 1))),
        **values,
    )


def draw_samples(network: Network, count: int, seed: int = 1) -> Floats:
    """Return samples ``(count, C, H, W)``: noise of all sizes, as fractions of 255, 0 to 1."""
    numbers = np.random.default_rng(seed)
    channels, side, _ = network.shape
    x = np.zeros((count, channels, side, side))
    for cells in (2, 4, 8, 16):
        coarse = numbers.normal(size=(count, channels, cells, cells))
        repeats = math.ceil(side / cells)
        x += coarse.repeat(repeats, 2).repeat(repeats, 3)[:, :, :side, :side]
    pixels = np.clip(128 + 48 * x, 0, 255).astype(np.uint8)
    return (pixels / np.float32(255)).astype(np.float32)


def build(network: Network) -> onnx.ModelProto:
    """Return the network as an ONNX model with a free batch axis."""
    writer = _Writer(draw_samples(network, _CALIBRATION, seed=0), network.is_folded)
    last = _BUILDERS[network.kind](writer, network)
    return writer.model(last)


def count_weights(model: onnx.ModelProto) -> int:
    """Return the number of weights of all layers."""
    return sum(math.prod(w.dims) for w in model.graph.initializer if len(w.dims) > 1)


def count_multiplications(model: onnx.ModelProto) -> int:
    """Return the multiplications of one sample, those with padding included."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    weights = {w.name: w.dims for w in model.graph.initializer}
    return sum(
        math.prod(weights[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    )


def _lenet(net: _Writer, network: Network) -> str:
    x = net.max_pool(net.rectify(net.convolve("x", _scaled(20, network), 5, padding=0)))
    x = net.rectify(net.convolve(x, _scaled(50, network), 5, padding=0))
    for _ in range(network.depth - 1):
        x = net.rectify(net.convolve(x, _scaled(50, network), 3))
    x = net.flatten(net.max_pool(x))
    x = net.rectify(net.multiply(x, _scaled(500, network)))
    return net.multiply(x, CLASSES, is_normalized=False)


def _vgg16(net: _Writer, network: Network) -> str:
    x = "x"
    for channels, convolutions in _VGG:
        for _ in range(convolutions * network.depth):
            x = net.rectify(net.convolve(x, _scaled(channels, network), 3))
        x = net.max_pool(x)
    x = net.flatten(x)
    for _ in range(2):
        x = net.rectify(net.multiply(x, _scaled(512, network)))
    return net.multiply(x, CLASSES, is_normalized=False)


def _resnet18(net: _Writer, network: Network) -> str:
    x = net.rectify(net.convolve("x", _scaled(64, network), 3))
    for channels, first_stride in _RESNET:
        for block in range(2 * network.depth):
            stride = 1 if block else first_stride
            wide = _scaled(channels, network)
            y = net.rectify(net.convolve(x, wide, 3, stride))
            y = net.convolve(y, wide, 3)
            if stride > 1:
                x = net.convolve(x, wide, 1, stride, padding=0)
            x = net.rectify(net.add(x, y))
    x = net.flatten(net.average(x))
    return net.multiply(x, CLASSES, is_normalized=False)


def _scaled(channels: int, network: Network) -> int:
    return max(1, round(channels * network.width))


_BUILDERS = {"lenet": _lenet, "vgg16": _vgg16, "resnet18": _resnet18}


class _Writer:
    """Writes nodes one after the other, each run at once on the calibration batch."""

    def __init__(self, x: Floats, is_folded: bool) -> None:
        self.is_folded = is_folded
        self.numbers = np.random.default_rng(0)
        self.values: dict[str, Floats] = {"x": x}
        self.weights: dict[str, Floats] = {}
        self.nodes: list[onnx.NodeProto] = []

    def convolve(
        self, x: str, channels: int, kernel: int, stride: int = 1, padding: int | None = None
    ) -> str:
        """Add a convolution and its normalization; without ``padding`` it keeps the size."""
        around = kernel // 2 if padding is None else padding
        shape = (channels, self.values[x].shape[1], kernel, kernel)
        y = self._add(
            "Conv",
            (x, *self._draw(shape)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[around] * 4,
        )
        return self._normalize(y, is_folded=self.is_folded)

    def multiply(self, x: str, channels: int, *, is_normalized: bool = True) -> str:
        """Add a dense layer; its normalization is always folded."""
        y = self._add("Gemm", (x, *self._draw((channels, self.values[x].shape[1]))), transB=1)
        return self._normalize(y, is_folded=True) if is_normalized else y

    def rectify(self, x: str) -> str:
        return self._add("Relu", (x,))

    def add(self, x: str, y: str) -> str:
        return self._add("Add", (x, y))

    def max_pool(self, x: str) -> str:
        return self._add("MaxPool", (x,), kernel_shape=[2, 2], strides=[2, 2])

    def average(self, x: str) -> str:
        return self._add("GlobalAveragePool", (x,))

    def flatten(self, x: str) -> str:
        return self._add("Flatten", (x,))

    def model(self, last: str) -> onnx.ModelProto:
        """Return the model whose output is the value ``last``."""
        x, y = (
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, ["batch", *self.values[name].shape[1:]]
            )
            for name in ("x", last)
        )
        weights = [numpy_helper.from_array(w, name) for name, w in self.weights.items()]
        graph = helper.make_graph(self.nodes, "benchmark", [x], [y], weights)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)

    def _draw(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """Draw weights and zero biases; return their names."""
        deviation = math.sqrt(2 / math.prod(shape[1:]))
        number = len(self.nodes)
        names = (f"weight{number}", f"bias{number}")
        drawn = self.numbers.standard_normal(shape, np.float32) * np.float32(deviation)
        self.weights |= {names[0]: drawn, names[1]: np.zeros(shape[0], np.float32)}
        return names

    def _normalize(self, x: str, *, is_folded: bool) -> str:
        value = self.values[x]
        axes = tuple(axis for axis in range(value.ndim) if axis != 1)
        mean = value.mean(axes, dtype=np.float64).astype(np.float32)
        variance = value.var(axes, dtype=np.float64).astype(np.float32) + np.float32(1e-6)
        if is_folded:
            self._fold(x, mean, np.sqrt(variance))
            return x
        ones = np.ones_like(mean)
        found = {"scale": ones, "shift": 0 * ones, "mean": mean, "variance": variance}
        names = {name: f"{name}{len(self.nodes)}" for name in found}
        self.weights |= {names[name]: given for name, given in found.items()}
        return self._add("BatchNormalization", (x, *names.values()))

    def _fold(self, x: str, mean: Floats, deviation: Floats) -> None:
        """Normalize by the weights and the bias of the layer that was written last."""
        weight, bias = self.nodes[-1].input[1:]
        along = (-1, *[1] * (self.weights[weight].ndim - 1))
        self.weights[weight] /= deviation.reshape(along)
        self.weights[bias] -= mean / deviation
        along = (-1, *[1] * (self.values[x].ndim - 2))
        self.values[x] = (self.values[x] - mean.reshape(along)) / deviation.reshape(along)

    def _add(self, kind: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        node = helper.make_node(kind, inputs, [name], name, **attributes)
        self.nodes.append(node)
        self.values[name] = _run(node, {i: self._value(i) for i in inputs})
        return name

    def _value(self, name: str) -> Floats:
        return self.values[name] if name in self.values else self.weights[name]


def _run(node: onnx.NodeProto, given: dict[str, Floats]) -> Floats:
    """Run one node in onnxruntime."""
    import onnxruntime

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        for name, value in given.items()
    ]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "node", inputs, [output])
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, given)[0]
