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
import math
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolchain._random_branches import BranchWriter
from toolchain._random_ends import EndsWriter
from toolchain._random_networks import WindowsWriter, Writer
from toolchain.calibration import calibrate
from toolchain.ir.ann import Dense, Input, Output
from toolchain.ir.ends import sample_shape
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.mapped import Circuit
from toolchain.ir.node import Node, Shape
from toolchain.ir.reference import gather
from toolchain.mapping import MAPPINGS
from toolchain.rewriting import Context, run_phase
from toolchain.schedule import AUTO, scheduled
from toolchain.target import Target

Ints: TypeAlias = npt.NDArray[np.int64]


def chain(shape: Shape, *nodes: Node) -> Graph:
    """Return the imported graph of an input ``x``, the nodes in a row, and an output ``y``.

    Args:
        shape: Of the input.
        nodes: Without inputs, which are set here. Each stands for an ONNX node of its own name
            unless it has an origin.
    """
    return chain_from(Input(name="x", shape=shape, source_shape=shape), *nodes)


def chain_from(entry: Node, *nodes: Node) -> Graph:
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
    return chain_from(*Writer(random, is_whole).network())


def random_windows(random: Random, *, is_whole: bool = False, is_even: bool = False) -> Graph:
    """Return a small imported network of one to six layers of LM-HT neurons.

    Up to 16 levels and six windows, mixing of every kind, static samples or one a window.

    Args:
        random: Source of all choices.
        is_whole: As for `random_network`; the neurons' numbers are then dyadic fractions.
        is_even: Whether all windows are treated alike, so that they can be merged: static
            samples, equal entries of mixing, no leak, no max-pools.
    """
    return chain_from(*WindowsWriter(random, is_whole, is_even).network())


def random_branches(random: Random, *, is_whole: bool = False) -> Graph:
    """Return a small imported network with branches, of one to four blocks.

    Residual sums of all kinds, streams without activations, concatenations, choices, repeats
    and insertion of zeros, limits and slopes, several readers of one value.

    Args:
        random: Source of all choices.
        is_whole: As for `random_network`.
    """
    return BranchWriter(random, is_whole).network()


def random_ends(random: Random, *, is_whole: bool = False) -> Graph:
    """Return a small imported network with branches and several inputs and outputs.

    Args:
        random: Source of all choices.
        is_whole: As for `random_network`.
    """
    return EndsWriter(random, is_whole).network()


def random_samples(
    graph: Graph, random: Random, count: int, *, is_whole: bool = False
) -> npt.NDArray[Any]:
    """Return samples ``(count, *sample shape)``: pixels, fractions of 255, or signed floats.

    Args:
        graph: They are for.
        random: Source of all choices.
        count: Number of samples.
        is_whole: Whether they are integers of both signs instead.
    """
    numbers = np.random.default_rng(random.getrandbits(32))
    shape = (count, *sample_shape(graph))
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
    schedule: str = AUTO,
) -> Stages:
    """Take a network through all phases.

    Args:
        graph: Imported.
        x: Calibration samples ``(samples, *source_shape)``.
        target: The chip.
        levels: Largest spike count of a neuron in a window, >= 1.
        lowering: ``temporal`` or ``spatial``.
        method: Name of the conversion method.
        schedule: Name of a schedule, or ``auto``.

    Raises:
        CompileError: A pass refuses the network, or it does not fit.
    """
    context = Context(target=target, levels=levels, method=method, lowering=lowering)
    prepared = after_phase(graph, Phase.PREPARE, context)
    context = dataclasses.replace(context, calibration=calibrate(prepared, x))
    converted = after_phase(prepared, Phase.CONVERT, context)
    lowered = after_phase(converted, Phase.LOWER, context)
    quantized = after_phase(lowered, Phase.QUANTIZE, context)
    circuit = scheduled(MAPPINGS[lowering](quantized, target), schedule)
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
    drawn = np.where(is_high, high, low).astype(np.int64)
    if entry.order is None:
        return drawn
    return gather(_unordered(entry, drawn), entry.order).reshape(drawn.shape)


def samples_of(entry: Input, encoded: Ints) -> npt.NDArray[np.float64]:
    """Return the samples ``(batch, *source_shape)`` that an input encodes as ``encoded``."""
    scale = entry.encoding.scale if entry.encoding else 1.0
    return (_unordered(entry, encoded) * scale).reshape(len(encoded), *entry.source_shape)


def _unordered(entry: Input, encoded: Ints) -> Ints:
    """Return what an input reads, flat: the last of its repeats, 0 for what it leaves out."""
    flat = encoded.reshape(len(encoded), -1)
    order = np.arange(flat.shape[1]) if entry.order is None else entry.order.ravel()
    source = np.zeros((len(encoded), math.prod(entry.source_shape)), np.int64)
    source[:, order[order >= 0]] = flat[:, order >= 0]
    return source
