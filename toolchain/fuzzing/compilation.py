"""An imported network taken through all phases: every stage is what the one before it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from toolchain.engine import ENGINES, Program
from toolchain.errors import CompileError
from toolchain.ir.curve import X
from toolchain.ir.ends import encode_samples
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.node import Array
from toolchain.ir.reference import counts_of, evaluate, run
from toolchain.ir.smooth import Smooth
from toolchain.ir.staircase import Staircase
from toolchain.limits import Limits
from toolchain.options import Options
from toolchain.partial.compilation import compile_partial
from toolchain.partial.findings import PartialReport
from toolchain.passes.approximate_smooth import NAME as APPROXIMATE
from toolchain.pipeline import compile_model
from toolchain.report import Report
from toolchain.rewriting import Context, run_phase
from toolchain.schedule import AUTO, SCHEDULES
from toolchain.straight_pieces import fit_pieces
from toolchain.target import TARGETS
from toolchain.testing import Stages, compile_network, random_samples

LIMITS = Limits(elements=2**24)
"""Of the models of all cases; with `guard.MEMORY_BYTES` the bound on memory is 64 bytes for
each element allowed."""

LEVELS = 3
"""Largest spike count of a neuron."""

_ELEMENTS, _SECONDS = 2**18, 15.0
"""Limits of what is compiled as a user does: memory has no bound there but this one."""

_SAMPLES = 6
_LOWERINGS = ("temporal", "spatial", "radix")
_FORMATS = ("twin",)
_ENGINES = ("count", "step")


def compiled(graph: Graph, random: Random) -> str:
    """Compile an imported network, and compare its stages on the calibration samples.

    Returns:
        ``"compiled"``, or how far it came and what refused it.

    Raises:
        AssertionError: Two stages differ.
    """
    lowering = random.choice(_LOWERINGS)
    x = random_samples(graph, random, _SAMPLES)
    schedule = random.choice((AUTO, *SCHEDULES))
    target = TARGETS["loihi2"]
    try:
        stages = compile_network(
            graph, x, target, levels=LEVELS, lowering=lowering, schedule=schedule
        )
    except CompileError as error:
        return f"imported, and refused with {type(error).__name__}"
    exact = _exact(graph, stages.context)
    if not _has_ties(graph, x):
        _require_same(graph, exact, x)
    _require_same(_in_pieces(exact, stages.context), stages.prepared, x)
    try:
        _require_same_counts(stages, x)
    except CompileError as error:
        return f"compiled, and refused with {type(error).__name__}"
    return "compiled"


def built(model: Path, folder: Path, random: Random) -> str:
    """Compile a model as a user does, in a new folder ``folder``.

    Returns:
        ``"built"``, or ``"imported, and "`` what refused it.

    Raises:
        AssertionError: A rung of the ladder broke its promise.
    """
    return _built(compile_model, _options(model, folder, random))


def split(model: Path, folder: Path, random: Random) -> str:
    """Compile a model in segments, in a new folder ``folder``.

    Returns:
        ``"built in segments"``, or ``"imported, and "`` what refused it.

    Raises:
        AssertionError: A rung of the ladder broke its promise.
    """
    return _built(compile_partial, _options(model, folder, random))


def _options(model: Path, folder: Path, random: Random) -> Options:
    return Options(
        model=model,
        output=folder,
        levels=LEVELS,
        lowering=random.choice(("auto", *_LOWERINGS)),
        schedule=random.choice((AUTO, *SCHEDULES)),
        pieces=random.randint(2, 6),
        formats=_FORMATS,
        max_nodes=LIMITS.nodes,
        max_elements=_ELEMENTS,
        max_seconds=_SECONDS,
    )


def _built(compile_it: Callable[[Options], Report | PartialReport], options: Options) -> str:
    try:
        report = compile_it(options)
    except CompileError as error:
        return f"imported, and refused with {type(error).__name__}"
    if not report.is_kept:
        broken = [rung for rung in report.ladder if rung.status == "broken"]
        if broken and broken[0].max_abs_error == np.inf:
            return "imported, and its outputs are not finite"
        raise AssertionError(f"the ladder is broken: {broken}")
    return "built" if isinstance(report, Report) else "built in segments"


def _exact(graph: Graph, context: Context) -> Graph:
    """Return what becomes of a network before straight pieces stand in for its activations."""
    for name, after in run_phase(graph, Phase.PREPARE, context):
        if name == APPROXIMATE:
            return graph
        graph = after
    return graph


def _has_ties(graph: Graph, x: Array) -> bool:
    """Tell whether a quantizer reads a value halfway between two steps.

    ONNX rounds it to the even one, before it adds a zero point; a network whose steps count
    from zero may take the other.
    """
    with np.errstate(all="ignore"):
        values = evaluate(graph, x)
        return any(
            bool((np.abs(counts_of(values[node.inputs[0]]) % 1 - 0.5) < _TOLERANCE).any())
            for node in graph.of_type(Staircase)
            if not node.rounds_down
        )


def _in_pieces(graph: Graph, context: Context) -> Graph:
    """Return a network that computes its smooth activations as sums of straight pieces."""
    for node in graph.of_type(Smooth):
        pieces = fit_pieces(node.curve, context.pieces)
        if pieces is not None:
            total = X.scaled(0.0, pieces.constant)
            for piece in pieces.pieces:
                rising = X.scaled(float(piece.direction), -piece.start)
                total = total.plus(rising.then("clip", 0.0, piece.width).scaled(piece.slope))
            graph = graph.swap(dataclasses.replace(node, curve=total))
    return graph


def _require_same(wanted: Graph, found: Graph, x: Array) -> None:
    with np.errstate(all="ignore"):
        y, made = run(wanted, x), run(found, x)
    if made.shape != y.shape:
        raise AssertionError(f"prepared outputs are {made.shape}, and imported {y.shape}")
    largest = float(np.abs(y).max(initial=1))
    difference = float(np.abs(made - y).max(initial=0))
    if np.isfinite(largest) and not difference <= _TOLERANCE * largest:
        raise AssertionError(f"prepared outputs differ by {difference:g} of {largest:g}")


_TOLERANCE = 1e-6


def _require_same_counts(stages: Stages, x: Array) -> None:
    program = Program(stages.quantized, stages.circuit)
    inputs = encode_samples(stages.quantized, x)
    by_count, by_step = (ENGINES[name].run(program, inputs, trace=False) for name in _ENGINES)
    if not np.array_equal(by_count.readout, by_step.readout):
        raise AssertionError("count and step mode differ in the read-out")
    for name in set(by_count.counts) & set(by_step.counts):
        if not np.array_equal(by_count.counts[name], by_step.counts[name]):
            raise AssertionError(f"count and step mode differ in the counts of {name!r}")
