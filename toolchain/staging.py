"""The network taken from phase to phase, as a user has asked for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from toolchain.calibration import calibrate
from toolchain.calibration_samples import calibration_samples
from toolchain.data import Samples
from toolchain.engine import ENGINES, Program
from toolchain.frontend import ImportedModel, import_model
from toolchain.heap import trim_heap
from toolchain.ir.ends import decode_sums, encode_samples, input_parts
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.text import print_graph
from toolchain.limits import Deadline
from toolchain.mapping import MAPPINGS
from toolchain.metrics import agreement, heads_of
from toolchain.options import Options
from toolchain.passes.approximate_smooth import NAME as APPROXIMATE
from toolchain.rewriting import PASSES, Context, run_phase
from toolchain.schedule import AUTO, scheduled
from toolchain.target import TARGETS, Target
from toolchain.tuning.levels import (
    AGREEMENT_WANTED,
    LEVELS_TRIED,
    RADIX_LEVELS_TRIED,
    choose_levels,
)
from toolchain.tuning.lowering import choose_lowering
from toolchain.tuning.origin import origin_of, without_effect, without_samples
from toolchain.tuning.pieces import describe_pieces
from toolchain.verification.source import source_runner
from toolchain.verification.stages import AnalogueStages, Stages

Progress: TypeAlias = Callable[[str, int, int], None]
Dump: TypeAlias = Callable[[str], None]
Array: TypeAlias = npt.NDArray[Any]


class Staging:
    """A compilation that writes nothing.

    Each stage is as large as the model, so none is kept here: whoever asks for one has it.

    Args:
        options: What to do.
        progress: Told the stage, the samples done and the samples in all.
        dump: Given the text form that ``options.dump_after`` asks for.

    Attributes:
        target: That was asked for.
        warnings: What users should know of what has been done so far.

    Raises:
        ConversionError: The options have a number that means nothing.
        UnknownNameError: The options have a name that nothing has.
    """

    def __init__(
        self,
        options: Options,
        progress: Progress = lambda *_: None,
        dump: Dump = lambda _: None,
    ) -> None:
        options.require_sensible()
        self.target: Target = TARGETS[options.target]
        self.warnings: list[str] = []
        self._options, self._told, self._dump = options, progress, dump
        self._deadline = Deadline(options.max_seconds)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far it is, unless the time is up."""
        self._deadline.check(stage)
        self._told(stage, done, total)

    def import_model(self) -> ImportedModel:
        """Import the model."""
        self.progress("import", 0, 1)
        options = self._options
        return import_model(
            options.model, options.limits, lambda node: self._deadline.check(repr(node))
        )

    def calibration_samples(self, model: ImportedModel) -> Samples:
        """Return the samples that thresholds are set on."""
        options, parts = self._options, input_parts(model.graph)
        samples, warnings = calibration_samples(
            options.calibration, options.model, model.input_shape, parts
        )
        self.warnings.extend(warnings)
        return samples

    def prepared(self, model: ImportedModel) -> AnalogueStages:
        """Take the model to where it is converted."""
        exact, graph = None, model.graph
        for name, after in self._passes(graph, Phase.PREPARE, self._context()):
            if name == APPROXIMATE and exact is None:
                exact = graph
            graph = after
        trim_heap()
        self.warnings.extend(describe_pieces(exact, self._options.pieces))
        return AnalogueStages(model, graph, exact)

    def converted(self, analogue: AnalogueStages, samples: Samples) -> tuple[Graph, Context]:
        """Convert; return with the graph what the phases after it depend on.

        Args:
            analogue: The stages before.
            samples: To set thresholds on.
        """
        prepared = analogue.prepared
        if not samples.source:
            self.warnings.append(without_samples(prepared))
        self.progress("calibrate", 0, len(samples))
        calibration = calibrate(prepared, samples.x)
        trim_heap()
        context = dataclasses.replace(self._context(), calibration=calibration)
        if origin_of(prepared):
            given = {name: getattr(self._options, name) for name in ("levels", "method")}
            self.warnings.extend(without_effect(given, vars(Options)))
        elif self._options.levels is None:
            context = self._with_levels(analogue, context, samples.x)
        context = self._with_lowering(prepared, context)
        converted = self._phase(prepared, Phase.CONVERT, context)
        return converted, dataclasses.replace(context, calibration=calibration.without_values())

    def lowered(self, converted: Graph, context: Context, folder: Path | None = None) -> Stages:
        """Lower, quantize and map.

        Args:
            converted: From `converted`, with its context.
            context: What passes depend on.
            folder: Where artifacts will be.
        """
        lowered = self._phase(converted, Phase.LOWER, context)
        quantized = self._phase(lowered, Phase.QUANTIZE, context)
        mapped = MAPPINGS[context.lowering](quantized, self.target)
        circuit = scheduled(mapped, self._options.schedule)
        program = Program(quantized, circuit, folder)
        return Stages(converted, lowered, program, context.lowering)

    def _context(self) -> Context:
        return Context(
            target=self.target,
            levels=self._options.levels or LEVELS_TRIED[0],
            method=self._options.method,
            lowering=self._options.lowering,
            pieces=self._options.pieces,
        )

    def _with_lowering(self, prepared: Graph, context: Context) -> Context:
        if context.lowering != AUTO:
            return context
        chosen = choose_lowering(prepared, context.levels, self.target)
        return dataclasses.replace(context, lowering=chosen)

    def _with_levels(self, analogue: AnalogueStages, context: Context, x: Array) -> Context:
        source, prepared = source_runner(analogue.model)(x), analogue.prepared

        def agreement_of(levels: int) -> float:
            candidate = dataclasses.replace(context, levels=levels)
            candidate = self._with_lowering(prepared, candidate)
            converted = self._phase(prepared, Phase.CONVERT, candidate)
            program = self.lowered(converted, candidate).program
            return agreement(_counted(program, x), source, heads_of(program.graph))

        tried = RADIX_LEVELS_TRIED if context.lowering == "radix" else LEVELS_TRIED
        choice = choose_levels(agreement_of, tried)
        if not choice.is_enough:
            self.warnings.append(
                f"up to {tried[-1]} levels, answers agree on less than "
                f"{AGREEMENT_WANTED:.0%} of the calibration samples; with {choice.levels}, on "
                f"{choice.agreement:.1%}"
            )
        return dataclasses.replace(context, levels=choice.levels)

    def _phase(self, graph: Graph, phase: Phase, context: Context) -> Graph:
        for _, after in self._passes(graph, phase, context):
            graph = after
            trim_heap()
        return graph

    def _passes(
        self, graph: Graph, phase: Phase, context: Context
    ) -> Iterator[tuple[str, Graph]]:
        """Run the passes of a phase; yield the names of those that changed something."""
        self.progress(phase.name.lower(), 0, 1)
        asked, dumped = self._options.dump_after, None
        for name, after in run_phase(graph, phase, context):
            self._deadline.check(name)
            graph = after
            if name == asked:
                dumped = graph
            yield name, graph
        if asked is not None and asked in PASSES and PASSES[asked].phase is phase:
            dumped = dumped or graph
        if dumped is not None:
            self._dump(print_graph(dumped))


def _counted(program: Program, x: Array) -> Array:
    """Return the outputs that count mode gives."""
    graph = program.graph
    found = ENGINES["count"].run(program, encode_samples(graph, x), trace=False)
    return decode_sums(graph, found.readout)
