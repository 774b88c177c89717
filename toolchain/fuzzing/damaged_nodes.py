"""Nodes removed, doubled, swapped, rewired, renamed, nested, and graphs of great depth."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random

import onnx
from onnx import helper

from toolchain.onnx_functions import DOMAIN

OPERATORS = (
    "Abs", "Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip",
    "Concat", "ConstantOfShape", "Conv", "ConvTranspose", "CumSum", "DepthToSpace",
    "DequantizeLinear", "Div", "Dropout", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand",
    "EyeLike", "Flatten", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization", "HardSigmoid", "HardSwish",
    "Identity", "If", "InstanceNormalization", "LRN", "LSTM", "LayerNormalization",
    "LeakyRelu", "LogSoftmax", "Loop", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool",
    "MaxUnpool", "Min", "Mul", "Neg", "NonZero", "OneHot", "PRelu", "Pad", "Pow",
    "QLinearConv", "QuantizeLinear", "RNN", "RandomNormal", "Range", "ReduceMax", "ReduceMean",
    "ReduceSum", "Relu", "Reshape", "Resize", "ReverseSequence", "Round", "Scan", "Scatter",
    "Shape", "Sigmoid", "Size", "Slice", "Softmax", "Softplus", "SpaceToDepth", "Split",
    "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose",
    "Unsqueeze", "Upsample", "Where", "Xor", "NoSuchOperator", "",
)  # fmt: skip

_ELEMENTWISE = (
    "Relu", "Identity", "Neg", "Abs", "Sigmoid", "Tanh", "Flatten", "Transpose", "Dropout",
    "Softmax", "Exp", "LeakyRelu", "GlobalAveragePool", "Clip", "Cast", "Squeeze", "Shape",
)  # fmt: skip
_DEPTHS = (300, 3000, 10_000)
_NESTING = (3, 20, 31)


def remove_node(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Remove one; what read it reads nothing."""
    del model.graph.node[random.randrange(len(model.graph.node))]


def bypass_node(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Remove one, and let its readers read what it read."""
    node = _node(random, model)
    if node.input and node.output:
        old, new = node.output[0], node.input[0]
        model.graph.node.remove(node)
        _redirect(model.graph, old, new)


def double_node(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Repeat one, with the same outputs or with others that a reader takes."""
    node = onnx.NodeProto()
    node.CopyFrom(_node(random, model))
    if random.random() < 0.7 and node.output:
        old = node.output[0]
        node.output[0] = f"{old}_again"
        _redirect(model.graph, old, node.output[0], share=0.5, random=random)
    model.graph.node.insert(random.randrange(len(model.graph.node) + 1), node)


def swap_nodes(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Exchange the places of two."""
    nodes = model.graph.node
    first, second = (random.randrange(len(nodes)) for _ in range(2))
    held = onnx.NodeProto()
    held.CopyFrom(nodes[first])
    nodes[first].CopyFrom(nodes[second])
    nodes[second].CopyFrom(held)


def shuffle_nodes(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Write all in any order."""
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def rewire_input(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Let a node read any other value: a branch, a cycle, or nothing of that name."""
    node = _node(random, model)
    if node.input:
        node.input[random.randrange(len(node.input))] = _value(random, model)


def change_arity(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Give a node more or fewer inputs or outputs."""
    node = _node(random, model)
    names = random.choice((node.input, node.output))
    if names and random.random() < 0.5:
        del names[random.randrange(len(names))]
    else:
        names.extend([_value(random, model)] * random.choice((1, 2, 500)))


def rename_output(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Call an output as another value, or not at all."""
    node = _node(random, model)
    if node.output:
        node.output[random.randrange(len(node.output))] = _value(random, model)


def rename_everywhere(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Call a value strangely, wherever it is named."""
    names = sorted({name for node in model.graph.node for name in node.output if name})
    if names:
        old = random.choice(names)
        new = random.choice(("ä" * 40, "a\nb", "../../x", "x" * 70_000, "y/../z", " ", "\0"))
        _redirect(model.graph, old, new)
        for node in model.graph.node:
            node.output[:] = [new if name == old else name for name in node.output]


def rename_nodes(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Call all nodes alike, or one strangely."""
    name = random.choice(("", "same", "x", "../../up", "a" * 5000, "ä\n\t"))
    nodes = [_node(random, model)] if random.random() < 0.5 else model.graph.node
    for node in nodes:
        node.name = name


def change_operator(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Make another operator of a node."""
    _node(random, model).op_type = random.choice(OPERATORS)


def change_domain(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Say that a node's operator is of another domain."""
    domain = random.choice(("ai.onnx", "ai.onnx.ml", "com.microsoft", DOMAIN, "no.such", "é"))
    _node(random, model).domain = domain


def insert_node(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Put a node of one input between two others."""
    place = random.randrange(len(model.graph.node))
    node = model.graph.node[place]
    if node.output:
        made = f"{node.output[0]}_more"
        _redirect(model.graph, node.output[0], made)
        added = helper.make_node(random.choice(_ELEMENTWISE), [node.output[0]], [made])
        model.graph.node.insert(place + 1, added)


def join_values(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Put a node of two inputs behind a value, the other being any."""
    place = random.randrange(len(model.graph.node))
    node = model.graph.node[place]
    if node.output:
        made = f"{node.output[0]}_joined"
        _redirect(model.graph, node.output[0], made)
        operator = random.choice(("Add", "Mul", "Sub", "Max", "MatMul", "Concat", "Div", "Sum"))
        attributes = {"axis": 1} if operator == "Concat" else {}
        inputs = random.sample([node.output[0], _value(random, model)], 2)
        added = helper.make_node(operator, inputs, [made], **attributes)
        model.graph.node.insert(place + 1, added)


def deepen(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Put a chain of many nodes between two."""
    place = random.randrange(len(model.graph.node))
    node = model.graph.node[place]
    if not node.output:
        return
    depth = random.choice(_DEPTHS)
    operator = random.choice(("Relu", "Identity", "Neg", "Dropout", "Add", "Transpose"))
    names = [node.output[0], *(f"deep{index}" for index in range(depth))]
    _redirect(model.graph, names[0], names[-1])
    pairs = itertools.pairwise(names)
    chain = [
        helper.make_node(operator, [a] if operator != "Add" else [a, names[0]], [b])
        for a, b in pairs
    ]
    after = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*after[: place + 1], *chain, *after[place + 1 :]])


def nest(random: Random, model: onnx.ModelProto, _: Path) -> None:
    """Add a node with a graph in a graph in a graph."""
    inner = helper.make_graph([], "innermost", [], [])
    for _depth in range(random.choice(_NESTING)):
        branch = helper.make_attribute("then_branch", inner)
        node = onnx.NodeProto(op_type="If", input=["x"], output=["y"], attribute=[branch])
        inner = onnx.GraphProto(name="g", node=[node])
    model.graph.node.extend(inner.node)


def _node(random: Random, model: onnx.ModelProto) -> onnx.NodeProto:
    return random.choice(model.graph.node)


def _value(random: Random, model: onnx.ModelProto) -> str:
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    names += [value.name for value in (*graph.input, *graph.output)]
    return random.choice((*names, "", "no such value"))


def _redirect(
    graph: onnx.GraphProto,
    old: str,
    new: str,
    *,
    share: float = 1.0,
    random: Random | None = None,
) -> None:
    """Let what reads ``old`` read ``new``, or a share of it."""
    for node in graph.node:
        if random is None or random.random() < share:
            node.input[:] = [new if name == old else name for name in node.input]
    for output in graph.output:
        if output.name == old and random is None:
            output.name = new


DAMAGES: tuple[Callable[[Random, onnx.ModelProto, Path], None], ...] = (
    remove_node,
    bypass_node,
    double_node,
    swap_nodes,
    shuffle_nodes,
    rewire_input,
    change_arity,
    rename_output,
    rename_everywhere,
    rename_nodes,
    change_operator,
    change_domain,
    insert_node,
    join_values,
    nest,
)
"""All but `deepen`, which takes long."""
