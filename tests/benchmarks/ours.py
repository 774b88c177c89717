"""The networks in the engines of snn-compile."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from contest import Contender
from networks import Floats

if TYPE_CHECKING:
    from toolchain.engine import Program
    from toolchain.ir.graph import Graph

TARGET = "loihi2"
STEP_BATCH = 4
"""Samples of a turn of the step engine, which keeps every spike of every population."""


def imported(model: onnx.ModelProto) -> Graph:
    """Return the imported graph of a model."""
    from toolchain.frontend import import_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        return import_model(path).graph


def compiled(graph: Graph, calibration: Floats, *, levels: int, lowering: str) -> Program:
    """Take an imported graph through all phases, without files and without the ladder."""
    from toolchain.engine import Program
    from toolchain.target import TARGETS
    from toolchain.testing import compile_network

    target = TARGETS[TARGET]
    stages = compile_network(graph, calibration, target, levels=levels, lowering=lowering)
    return Program(stages.quantized, stages.circuit)


def engine(name: str, program: Program, x: Floats, *, trace: bool = False) -> Contender:
    """Return an engine that runs samples, encoded beforehand."""
    from toolchain.engine import ENGINES

    inputs, run = encoded(program, x), ENGINES[name].run
    title = f"{name} engine, {levels_of(program)} levels"
    return Contender(title, len(x), lambda: run(program, inputs, trace=trace))


def counting(program: Program, x: Floats) -> Contender:
    """Return the network that the count engine runs.

    The engine keeps two networks. Of more that have turns, it would write and test each one
    again before its turn.
    """
    from targets.twin.counting import CountingNetwork, trusted_layout

    inputs, network = encoded(program, x), CountingNetwork(trusted_layout(program.graph))
    return Contender("count engine", len(x), lambda: network.sums(inputs))


def measured(program: Program, x: Floats) -> Contender:
    """Return the count engine with all spikes and synaptic operations counted."""
    from toolchain.engine import ENGINES

    inputs, measure = encoded(program, x), ENGINES["count"].measure
    if measure is None:
        raise SystemExit("not measured: the count engine counts no operations")
    title = f"count engine and operations, {levels_of(program)} levels"
    return Contender(title, len(x), lambda: measure(program, inputs, trace=False))


def traces(program: Program, x: Floats) -> Contender:
    """Return complete traces: every spike of every population of the graph, in an array."""
    from toolchain.engine import ENGINES, Selection

    inputs, trace = encoded(program, x), ENGINES["step"].trace
    if trace is None:
        raise SystemExit("not measured: the step engine traces nothing")
    title = f"complete traces, {levels_of(program)} levels"
    return Contender(title, len(x), lambda: trace(program, inputs, Selection()))


def encoded(program: Program, x: Floats) -> Any:
    """Return samples as the integers that a program takes."""
    from toolchain.ir.reference import encode

    return encode(program.graph.input, x).astype(np.int64)


def levels_of(program: Program) -> int:
    """Return the levels of the first population."""
    from toolchain.ir.snn import Spiking

    return program.graph.of_type(Spiking)[0].levels


def require_agreement(program: Program, x: Floats) -> None:
    """Stop if count and step engine do not give the same integers."""
    from toolchain.engine import ENGINES

    inputs = encoded(program, x)
    counted, stepped = (
        ENGINES[name].run(program, inputs, trace=False).readout for name in ("count", "step")
    )
    if not np.array_equal(counted, stepped):
        raise SystemExit("not measured: the engines do not give the same integers")


def with_windows(graph: Graph, x: Floats, levels: int, windows: int) -> Graph:
    """Return a prepared graph with LM-HT neurons in place of its rectifiers.

    Each window reads itself and the next earlier one, with unequal weights, so that none can
    be merged. Thresholds are those at which the largest activation on ``x`` fills a window.
    """
    from toolchain.calibration import calibrate
    from toolchain.ir.ann import Relu
    from toolchain.ir.graph import Phase
    from toolchain.ir.snn import LmHt
    from toolchain.rewriting import Context
    from toolchain.target import TARGETS
    from toolchain.testing import after_phase

    mixing = 0.75 * np.eye(windows) + 0.25 * np.eye(windows, k=-1)
    context = Context(target=TARGETS[TARGET], levels=levels, method="mmse", lowering="temporal")
    graph = after_phase(graph, Phase.PREPARE, context)
    found = calibrate(graph, x).activations
    for node in graph.of_type(Relu):
        threshold = float(found[node.name].maximum.max()) / levels
        graph = graph.swap(
            LmHt(
                name=node.name,
                inputs=node.inputs,
                origin=node.origin,
                levels=levels,
                threshold=threshold,
                initial=threshold / 2,
                mixing=mixing,
                retention=0.9,
            )
        )
    return graph
