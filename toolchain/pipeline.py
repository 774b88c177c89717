"""The whole way: from an ONNX file to a build that has been verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from toolchain.build_folder import (
    REPORT,
    default_folder,
    files_in,
    model_name,
    require_replaceable,
    write_json,
    writing_build,
)
from toolchain.calibration import calibrate
from toolchain.calibration_samples import calibration_samples
from toolchain.conversion import METHODS
from toolchain.data import Samples, load_samples
from toolchain.engine import ENGINES, Program
from toolchain.errors import EmitError, UnknownNameError
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE
from toolchain.frontend import ImportedModel, import_model
from toolchain.heap import trim_heap
from toolchain.ir.archive import save_archive
from toolchain.ir.clipping import warn_of_clipping
from toolchain.ir.ends import decode_sums, encode_samples, input_parts
from toolchain.ir.features import features_of
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.size import count_neurons, count_synapses
from toolchain.ir.snn import LmHt, Spiking
from toolchain.ir.text import print_graph
from toolchain.ir.verify import accounted
from toolchain.limits import DEFAULT, Deadline, Limits
from toolchain.mapping import MAPPINGS
from toolchain.metrics import agreement, heads_of
from toolchain.passes.approximate_smooth import NAME as APPROXIMATE
from toolchain.report import Report, as_json
from toolchain.reporting.energy import count_multiply_accumulates, model_energy
from toolchain.rewriting import PASSES, Context, run_phase
from toolchain.schedule import AUTO, periods_of, require_schedule, schedule_of, scheduled
from toolchain.straight_pieces import PIECES
from toolchain.target import FORMATS, TARGETS, Target
from toolchain.tuning.alternatives import compare_lowerings
from toolchain.tuning.levels import (
    AGREEMENT_WANTED,
    LEVELS_TRIED,
    RADIX_LEVELS_TRIED,
    choose_levels,
)
from toolchain.tuning.lowering import choose_lowering
from toolchain.tuning.origin import origin_of, without_effect, without_samples
from toolchain.tuning.pieces import describe_pieces, require_pieces
from toolchain.verification.analogue import climb_analogue
from toolchain.verification.ladder import Climb, climb, route_of
from toolchain.verification.layers import report_layers
from toolchain.verification.reparameterization import uniform_residue
from toolchain.verification.source import source_runner
from toolchain.verification.stages import Stages, analogue_stages

Progress: TypeAlias = Callable[[str, int, int], None]
Dump: TypeAlias = Callable[[str], None]
Array: TypeAlias = npt.NDArray[Any]

OPTIONS_FILE = "options.json"

EXACT, UNIFORM = "exact", "uniform"
"""Ways from many thresholds to one: ours, and the one of the LM-HT paper."""

_RESIDUE_SAMPLES_MAX = 256


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user can choose; the resolved ones are written beside the build.

    Attributes:
        model: ONNX file.
        target: Name of a target.
        calibration: npz file with ``x``; `None` takes ``calibration.npz`` beside the model.
        test: npz file with ``x``, and ``y`` if there are labels; `None` verifies on the
            calibration samples.
        levels: Largest spike count of a neuron in one window; `None` chooses (`tuning.levels`).
            Neurons that the model brings have their own, whatever is asked for.
        lowering: Name of a lowering; ``auto`` chooses (`tuning.lowering`).
        schedule: ``sequential``, ``pipelined``, or ``auto`` for the lowering's own: pipelined
            where neurons have no memory or fire binary numbers, else sequential.
        method: Name of a conversion method.
        pieces: Straight pieces of a smooth activation, 2 to 32.
        formats: Names of formats to write; `None` takes the target's that can be written.
        output: Folder of the build; `None` takes ``build/<model>-<target>``.
        reparameterization: ``exact``, or ``uniform`` to measure beside it what the way of the
            LM-HT paper would have changed. What is built is exact either way.
        dump_after: Name of a pass or phase whose graph is dumped; `None` for none.
        max_bytes: Bytes of the model with its weights.
        max_nodes: Nodes of the model.
        max_elements: Elements of all values of one sample together; see `limits.Limits`.
        max_seconds: Time that the compilation may take, verification included.
    """

    model: Path
    target: str = "loihi2"
    calibration: Path | None = None
    test: Path | None = None
    levels: int | None = 15
    lowering: str = AUTO
    schedule: str = AUTO
    method: str = "mmse"
    pieces: int = PIECES
    formats: tuple[str, ...] | None = None
    output: Path | None = None
    dump_after: str | None = None
    reparameterization: str = EXACT
    max_bytes: int = DEFAULT.model_bytes
    max_nodes: int = DEFAULT.nodes
    max_elements: int = DEFAULT.elements
    max_seconds: float = 3600.0

    @property
    def limits(self) -> Limits:
        """On the size of the model."""
        return Limits(
            model_bytes=self.max_bytes, nodes=self.max_nodes, elements=self.max_elements
        )


def compile_model(
    options: Options,
    *,
    warnings: Sequence[str] = (),
    progress: Progress = lambda *_: None,
    dump: Dump = lambda _: None,
) -> Report:
    """Compile an ONNX model, verify the result and write it to the build folder.

    Args:
        options: What to do.
        warnings: Sentences that the report begins with.
        progress: Told the stage, the samples done and the samples in all.
        dump: Given the text form that ``options.dump_after`` asks for.

    Returns:
        What was found out; a broken promise is in its ladder, not an exception.

    Raises:
        CompileError: It cannot be compiled as asked. Nothing has been written.
    """
    compilation = _Compilation(options, progress, dump)
    compilation.warnings.extend(warnings)
    return compilation.run()


def compile_stages(options: Options, *, progress: Progress = lambda *_: None) -> Stages:
    """Compile an ONNX model without writing or verifying anything.

    Raises:
        CompileError: It cannot be compiled as asked.
    """
    compilation = _Compilation(options, progress, lambda _: None)
    model = compilation.import_model()
    samples = compilation.calibration_samples(model)
    return compilation.stages(model, compilation.prepared(model), samples, None)


class _Compilation:
    def __init__(self, options: Options, progress: Progress, dump: Dump) -> None:
        self.options, self.dump = options, dump
        self._told, self._deadline = progress, Deadline(options.max_seconds)
        self.target: Target = TARGETS[options.target]
        self.formats = options.formats or self.target.formats
        for name in self.formats:
            FORMATS[name]
        if options.lowering != AUTO:
            MAPPINGS[options.lowering]
        METHODS[options.method]
        require_pieces(options.pieces)
        require_schedule(options.schedule)
        _require_reparameterization(options.reparameterization)
        self.folder = options.output or default_folder(options.model, options.target)
        self.warnings: list[str] = []
        self.has_samples = True
        self.exact: Graph | None = None
        _require_known(options.dump_after)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far it is, unless the time is up."""
        self._deadline.check(stage)
        self._told(stage, done, total)

    def import_model(self) -> ImportedModel:
        """Import the model."""
        options = self.options
        return import_model(
            options.model, options.limits, lambda node: self._deadline.check(repr(node))
        )

    def run(self) -> Report:
        """Compile, write and verify."""
        options = self.options
        require_replaceable(self.folder)
        self.progress("import", 0, 1)
        model = self.import_model()
        calibration = self.calibration_samples(model)
        test = calibration
        if options.test is not None:
            test = load_samples(
                options.test, model.input_shape, input_parts(model.graph), labelled=None
            )
        with writing_build(self.folder) as aside:
            prepared = self.prepared(model)
            analogue = climb_analogue(
                model, analogue_stages(prepared, self.exact), test, self.progress
            )
            stages = self.stages(model, prepared, calibration, aside)
            if options.test is not None:
                self.warnings.extend(warn_of_clipping(stages.program.graph, test.x))
            refused = self._write(stages.program, aside)
            formats = tuple(name for name in self.formats if name not in refused)
            route = route_of(stages, analogue, formats, refused)
            found = climb(route, test, self.progress)
            write_json(aside / OPTIONS_FILE, dataclasses.asdict(options))
            self.progress("report", 0, 1)
            report = self._report(stages, found, aside, test.x)
            write_json(aside / REPORT, as_json(report))
        return report

    def calibration_samples(self, model: ImportedModel) -> Samples:
        """Return the samples that thresholds are set on."""
        options, parts = self.options, input_parts(model.graph)
        samples, warnings = calibration_samples(
            options.calibration, options.model, model.input_shape, parts
        )
        self.warnings.extend(warnings)
        self.has_samples = bool(samples.source)
        return samples

    def prepared(self, model: ImportedModel) -> Graph:
        """Return the network before it is converted."""
        prepared = self._phase(model.graph, Phase.PREPARE, self._context())
        self.warnings.extend(describe_pieces(self.exact, self.options.pieces))
        if not self.has_samples:
            self.warnings.append(without_samples(prepared))
        return prepared

    def stages(
        self, model: ImportedModel, prepared: Graph, samples: Samples, folder: Path | None
    ) -> Stages:
        """Compile."""
        converted, context = self._converted(model, prepared, samples)
        lowered, program = self._lowered(converted, context, folder)
        return Stages(
            model, prepared, converted, lowered, program, context.lowering, self.exact
        )

    def _context(self) -> Context:
        return Context(
            target=self.target,
            levels=self.options.levels or LEVELS_TRIED[0],
            method=self.options.method,
            lowering=self.options.lowering,
            pieces=self.options.pieces,
        )

    def _converted(
        self, model: ImportedModel, prepared: Graph, samples: Samples
    ) -> tuple[Graph, Context]:
        """Convert; return with the graph what the phases after it depend on."""
        self.progress("calibrate", 0, len(samples))
        calibration = calibrate(prepared, samples.x)
        context = dataclasses.replace(self._context(), calibration=calibration)
        if origin_of(prepared):
            given = {name: getattr(self.options, name) for name in ("levels", "method")}
            self.warnings.extend(without_effect(given, vars(Options)))
        elif self.options.levels is None:
            context = self._with_levels(model, prepared, context)
        context = self._with_lowering(prepared, context)
        converted = self._phase(prepared, Phase.CONVERT, context)
        return converted, dataclasses.replace(context, calibration=calibration.without_values())

    def _with_lowering(self, prepared: Graph, context: Context) -> Context:
        if context.lowering != AUTO:
            return context
        chosen = choose_lowering(prepared, context.levels, self.target)
        return dataclasses.replace(context, lowering=chosen)

    def _lowered(
        self, converted: Graph, context: Context, folder: Path | None
    ) -> tuple[Graph, Program]:
        """Lower, quantize and map; return the graph before it is quantized, too."""
        lowered = self._phase(converted, Phase.LOWER, context)
        quantized = self._phase(lowered, Phase.QUANTIZE, context)
        mapped = MAPPINGS[context.lowering](quantized, self.target)
        circuit = scheduled(mapped, self.options.schedule)
        return lowered, Program(quantized, circuit, folder)

    def _with_levels(self, model: ImportedModel, prepared: Graph, context: Context) -> Context:
        if context.calibration is None:
            return context
        x = context.calibration.x
        source = source_runner(model)(x)

        def agreement_of(levels: int) -> float:
            candidate = dataclasses.replace(context, levels=levels)
            candidate = self._with_lowering(prepared, candidate)
            converted = self._phase(prepared, Phase.CONVERT, candidate)
            _, program = self._lowered(converted, candidate, None)
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
        self.progress(phase.name.lower(), 0, 1)
        dumped = None
        for name, after in run_phase(graph, phase, context):
            if name == APPROXIMATE and self.exact is None:
                self.exact = graph
            graph = after
            self._deadline.check(name)
            if name == self.options.dump_after:
                dumped = after
        if dumped is None and self._asks_for_pass_of(phase):
            dumped = graph
        if dumped is not None:
            self.dump(print_graph(dumped))
        trim_heap()
        return graph

    def _asks_for_pass_of(self, phase: Phase) -> bool:
        asked = self.options.dump_after
        return asked is not None and asked in PASSES and PASSES[asked].phase is phase

    def _write(self, program: Program, folder: Path) -> dict[str, str]:
        """Write what ``run`` needs and all formats; return those refused, with the reason.

        Only a format that was not asked for by name may be refused.
        """
        save_archive(program.graph, folder / GRAPH_FILE)
        save_archive(program.circuit, folder / CIRCUIT_FILE)
        refused = {}
        for name in self.formats:
            self.progress(f"write {name}", 0, 1)
            try:
                FORMATS[name](program, folder)
            except EmitError as error:
                if self.options.formats is not None:
                    raise
                refused[name] = "; ".join(filter(None, (error.problem, error.hint)))
        return refused

    def _residue(self, prepared: Graph, x: Array) -> dict[str, Any] | None:
        if self.options.reparameterization == EXACT:
            return None
        if not prepared.of_type(LmHt):
            self.warnings.append(
                "--reparameterization uniform is for trained LM-HT neurons; there are none"
            )
            return None
        return dataclasses.asdict(uniform_residue(prepared, x[:_RESIDUE_SAMPLES_MAX]))

    def _report(self, stages: Stages, found: Climb, folder: Path, x: Array) -> Report:
        graph, circuit = stages.program.graph, stages.program.circuit
        return Report(
            model={
                "name": model_name(self.options.model),
                "sha256": stages.model.source.sha256,
            },
            target=self.target.name,
            lowering=stages.lowering,
            method=origin_of(stages.prepared) or self.options.method,
            levels=max((node.levels for node in graph.of_type(Spiking)), default=0),
            windows=max((node.windows for node in graph.of_type(Spiking)), default=1),
            schedule=schedule_of(circuit),
            time_steps=circuit.latency,
            period=circuit.period,
            periods=periods_of(circuit),
            nodes={"in": len(graph.source_nodes), "accounted": len(accounted(graph))},
            neurons=count_neurons(circuit),
            synapses=count_synapses(circuit),
            spikes_per_sample=found.spikes_per_sample,
            synaptic_operations_per_sample=found.synaptic_operations_per_sample,
            energy=model_energy(
                found.synaptic_operations_per_sample,
                found.graded_operations_per_sample,
                count_multiply_accumulates(stages.prepared),
            ),
            saturations=found.saturations,
            reparameterization=self._residue(stages.prepared, x),
            ladder=found.rungs,
            layers=report_layers(stages.prepared, stages.program, x),
            lowerings=compare_lowerings(
                graph, stages.lowering, self.target, x, self.options.schedule
            ),
            warnings=tuple(self.warnings),
            assumptions=tuple(
                self.target.assumptions[name]
                for name in sorted(features_of(circuit))
                if name in self.target.assumptions
            ),
            files=tuple(sorted([REPORT, *files_in(folder)])),
        )


def _require_reparameterization(name: str) -> None:
    if name not in (EXACT, UNIFORM):
        raise UnknownNameError(
            f"no reparameterization is called {name!r}; known: {EXACT}, {UNIFORM}"
        )


def _counted(program: Program, x: Array) -> Array:
    """Return the outputs that count mode gives."""
    graph = program.graph
    found = ENGINES["count"].run(program, encode_samples(graph, x), trace=False)
    return decode_sums(graph, found.readout)


def _require_known(name: str | None) -> None:
    phases = {phase.name.lower() for phase in Phase}
    if name is not None and name not in phases:
        PASSES[name]
