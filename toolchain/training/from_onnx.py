"""An ONNX network of the supported operators as one that can be trained.

It is imported and prepared by the compiler itself, so what can be compiled can be trained, and
normalization is folded already. Then its rectifiers become staircases whose scale is set on
samples (`with_staircases`), and the staircases become neurons (`hybrid`).
"""

from __future__ import annotations

import math
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from toolchain.errors import UnsupportedOpError
from toolchain.frontend import import_model
from toolchain.ir.ann import (
    Add,
    Affine,
    Conv,
    Dense,
    Input,
    MaxPool,
    Output,
    Rearrange,
    Relu,
    SumPool,
)
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array, Node
from toolchain.rewriting import Context, run_phase
from toolchain.training._torch import nn, torch
from toolchain.training.hybrid import replace_activations
from toolchain.training.network import INPUT, RECTIFIERS, Network, Permute, Scale, Step
from toolchain.training.network import Add as Sum
from toolchain.training.qcfs import Qcfs

if TYPE_CHECKING:
    from toolchain.target import Target

_SOFTENING = ("softmax", "log-softmax")
_SHARE = 0.999


def network_from_onnx(path: Path) -> Network:
    """Return the network in an ONNX file, with its weights.

    A softmax at the end is left out: training wants the logits before it.

    Raises:
        CompileError: The file cannot be imported.
        UnsupportedOpError: A node has no form that can be trained; it is named.
    """
    return network_from_graph(_prepared(import_model(path).graph))


def network_from_graph(graph: Graph) -> Network:
    """Return the network that a graph in phase PREPARE says.

    Raises:
        UnsupportedOpError: A node has no form that can be trained; it is named.
    """
    for ends in (graph.inputs, graph.outputs):
        if len(ends) > 1:
            raise UnsupportedOpError(
                f"is one of {len(ends)} {ends[1].kind.lower()}s; networks with one are trained",
                node=ends[1].tensor,
            )
    steps: list[Step] = []
    names = {graph.input.name: INPUT}
    for node in graph:
        last = names[node.inputs[0]] if node.inputs else INPUT
        for i, module in enumerate(_modules(node, graph)):
            name = node.name if not i else f"{node.name}-{i}"
            reads = (last,) if i else tuple(names[source] for source in node.inputs) or (INPUT,)
            steps.append(Step(name, reads, module))
            last = name
        names[node.name] = last
    return Network(steps, graph.input.source_shape).eval()


def with_staircases(network: Network, levels: int, x: Any) -> Network:
    """Return a network with staircases in the place of its rectifiers.

    The scale of each is what 999 of 1000 of its activations on samples ``x`` do not exceed.

    Args:
        network: With rectifiers.
        levels: Of every staircase.
        x: Samples.

    Raises:
        UnsupportedOpError: A rectifier is never above 0 on these samples.
    """
    tops: dict[str, float] = {}
    with torch.no_grad():
        for step, _, y in network.evaluate(x):
            if isinstance(step.module, RECTIFIERS):
                values = y.flatten().sort().values
                tops[step.name] = values[int(_SHARE * (len(values) - 1))].item()
                tops[step.name] = tops[step.name] or values[-1].item()
    for name, top in tops.items():
        if not top > 0:
            raise UnsupportedOpError(
                "is never above 0 on the samples", node=name, hint="calibrate on real samples"
            )
    return replace_activations(network, RECTIFIERS, lambda name: Qcfs(levels, tops[name]))


def _prepared(graph: Graph) -> Graph:
    # Passes of this phase ask the context for nothing: the network is not for a chip yet.
    context = Context(target=cast("Target", None), levels=1, method="", lowering="")
    for _, after in run_phase(graph, Phase.PREPARE, context):
        graph = after
    return graph


@singledispatch
def _modules(node: Node, graph: Graph) -> list[Any]:
    """Return the modules that compute a node, one after the other."""
    raise UnsupportedOpError(f"{node.kind} has no form that can be trained", node=node.name)


@_modules.register
def _(node: Input, graph: Graph) -> list[Any]:
    if node.order is None and node.shape == node.source_shape:
        return []
    return [_permute(node.shape, node.order)]


@_modules.register
def _(node: Output, graph: Graph) -> list[Any]:
    for step in node.tail:
        if step.function not in _SOFTENING:
            raise UnsupportedOpError(
                f"ends with {step.function}, which cannot be trained", node=node.name
            )
    shape = graph.shapes[node.inputs[0]]
    made: list[Any] = []
    if np.any(node.scale != 1) or np.any(node.offset != 0):
        made.append(_scale(node.scale, node.offset))
    size = int(np.prod(shape))
    if shape != (size,) or node.order is not None:
        made.append(_permute((size,), node.order))
    return made


@_modules.register
def _(node: Dense, graph: Graph) -> list[Any]:
    outputs, inputs = node.weight.shape
    layer = nn.Linear(inputs, outputs)
    _assign(layer, node.weight, np.broadcast_to(node.bias, (outputs,)))
    return [layer]


@_modules.register
def _(node: Conv, graph: Graph) -> list[Any]:
    (top, bottom), (left, right) = node.padding
    is_even = top == bottom and left == right
    channels = len(node.weight)
    layer = nn.Conv2d(
        node.weight.shape[1] * node.groups,
        channels,
        node.kernel,
        node.stride,
        (top, left) if is_even else 0,
        node.dilation,
        node.groups,
    )
    is_per_channel = np.ndim(node.bias) == 0 or np.shape(node.bias)[1:] == (1, 1)
    flat = np.ravel(node.bias) if is_per_channel else np.zeros(())
    _assign(layer, node.weight, np.broadcast_to(flat, (channels,)))
    before = [] if is_even else [nn.ZeroPad2d((left, right, top, bottom))]
    after = [] if is_per_channel else [_scale(np.ones(()), node.bias)]
    return [*before, layer, *after]


@_modules.register
def _(node: MaxPool, graph: Graph) -> list[Any]:
    (top, bottom), (left, right) = node.padding
    height, width = node.kernel
    if top == bottom <= height // 2 and left == right <= width // 2:
        return [nn.MaxPool2d(node.kernel, node.stride, (top, left))]
    # Rectified values are never below 0, so padding with 0 never wins.
    return [nn.ZeroPad2d((left, right, top, bottom)), nn.MaxPool2d(node.kernel, node.stride)]


@_modules.register
def _(node: SumPool, graph: Graph) -> list[Any]:
    (top, bottom), (left, right) = node.padding
    before = (
        [nn.ZeroPad2d((left, right, top, bottom))] if any((top, bottom, left, right)) else []
    )
    size = float(node.kernel[0] * node.kernel[1])
    return [*before, nn.AvgPool2d(node.kernel, node.stride), Scale(size)]


@_modules.register
def _(node: Affine, graph: Graph) -> list[Any]:
    return [_scale(node.scale, node.shift)]


@_modules.register
def _(node: Rearrange, graph: Graph) -> list[Any]:
    if node.order is None and len(node.shape) == 1:
        return [nn.Flatten()]
    return [_permute(node.shape, node.order)]


@_modules.register
def _(node: Add, graph: Graph) -> list[Any]:
    return [Sum()]


@_modules.register
def _(node: Relu, graph: Graph) -> list[Any]:
    return [nn.ReLU() if node.maximum == math.inf else nn.Hardtanh(0.0, node.maximum)]


def _permute(shape: tuple[int, ...], order: Array | None) -> Any:
    size = int(np.prod(shape))
    return Permute(shape, np.arange(size) if order is None else order)


def _scale(factor: Array, shift: Array) -> Any:
    return Scale(np.asarray(factor, np.float32), np.asarray(shift, np.float32))


def _assign(layer: Any, weight: Array, bias: Array) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(np.array(weight, np.float32)))
        layer.bias.copy_(torch.as_tensor(np.array(bias, np.float32)))
