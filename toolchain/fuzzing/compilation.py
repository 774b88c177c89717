"""An imported network taken through all phases: every stage is what the one before it is."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from toolchain.engine import ENGINES, Program
from toolchain.errors import CompileError
from toolchain.ir.graph import Graph
from toolchain.ir.node import Array
from toolchain.ir.reference import encode, run
from toolchain.limits import Limits
from toolchain.pipeline import Options, compile_model
from toolchain.target import TARGETS
from toolchain.testing import Stages, compile_network, random_samples

LIMITS = Limits(elements=2**24)
"""Of the models of all cases; with `guard.MEMORY_BYTES` the bound on memory is 64 bytes for
each element allowed."""

_LEVELS = 3
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
    try:
        stages = compile_network(graph, x, TARGETS["loihi2"], levels=_LEVELS, lowering=lowering)
    except CompileError as error:
        return f"imported, and refused with {type(error).__name__}"
    _require_prepared(graph, stages.prepared, x)
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
    lowering = random.choice(("auto", *_LOWERINGS))
    options = Options(
        model=model,
        output=folder,
        levels=_LEVELS,
        lowering=lowering,
        formats=_FORMATS,
        max_nodes=LIMITS.nodes,
        max_elements=LIMITS.elements,
    )
    try:
        report = compile_model(options)
    except CompileError as error:
        return f"imported, and refused with {type(error).__name__}"
    if not report.is_kept:
        broken = [rung for rung in report.ladder if rung.status == "broken"]
        if broken[0].max_abs_error == np.inf:
            return "imported, and its outputs are not finite"
        raise AssertionError(f"the ladder is broken: {broken}")
    return "built"


def _require_prepared(graph: Graph, prepared: Graph, x: Array) -> None:
    with np.errstate(all="ignore"):
        wanted, found = run(graph, x), run(prepared, x)
    if found.shape != wanted.shape:
        raise AssertionError(f"prepared outputs are {found.shape}, and imported {wanted.shape}")
    largest = float(np.abs(wanted).max(initial=1))
    difference = float(np.abs(found - wanted).max(initial=0))
    if np.isfinite(largest) and not difference <= _TOLERANCE * largest:
        raise AssertionError(f"prepared outputs differ by {difference:g} of {largest:g}")


_TOLERANCE = 1e-6


def _require_same_counts(stages: Stages, x: Array) -> None:
    program = Program(stages.quantized, stages.circuit)
    inputs = encode(stages.quantized.input, x).astype(np.int64)
    by_count, by_step = (ENGINES[name].run(program, inputs, trace=False) for name in _ENGINES)
    if not np.array_equal(by_count.readout, by_step.readout):
        raise AssertionError("count and step mode differ in the read-out")
    for name in set(by_count.counts) & set(by_step.counts):
        if not np.array_equal(by_count.counts[name], by_step.counts[name]):
            raise AssertionError(f"count and step mode differ in the counts of {name!r}")
