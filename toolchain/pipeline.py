"""The whole way: from an ONNX file to a build that has been verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
from toolchain.data import load_samples
from toolchain.engine import Program
from toolchain.errors import EmitError
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE
from toolchain.frontend.source_model import SourceModel
from toolchain.heap import trim_heap
from toolchain.ir.archive import save_archive
from toolchain.ir.clipping import warn_of_clipping
from toolchain.ir.ends import input_parts
from toolchain.ir.features import features_of
from toolchain.ir.graph import Graph
from toolchain.ir.size import count_neurons, count_synapses
from toolchain.ir.snn import LmHt, Spiking
from toolchain.ir.verify import accounted
from toolchain.options import EXACT, OPTIONS_FILE, Options
from toolchain.report import Report, as_json
from toolchain.reporting.energy import count_multiply_accumulates, model_energy
from toolchain.schedule import periods_of, schedule_of
from toolchain.staging import Dump, Progress, Staging
from toolchain.target import FORMATS
from toolchain.tuning.alternatives import compare_lowerings
from toolchain.tuning.origin import origin_of
from toolchain.verification.analogue import climb_analogue
from toolchain.verification.ladder import Climb, climb, route_of
from toolchain.verification.layers import report_layers
from toolchain.verification.reparameterization import uniform_residue
from toolchain.verification.stages import AnalogueStages, Stages

Array: TypeAlias = npt.NDArray[Any]

_RESIDUE_SAMPLES_MAX = 256


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
    staging = Staging(options, progress, dump)
    staging.warnings.extend(warnings)
    return _Compilation(options, staging).run()


def compile_stages(options: Options) -> tuple[AnalogueStages, Stages]:
    """Compile an ONNX model without writing or verifying anything.

    Raises:
        CompileError: It cannot be compiled as asked.
    """
    staging = Staging(options)
    model = staging.import_model()
    samples = staging.calibration_samples(model)
    before = staging.prepared(model)
    return before, staging.lowered(*staging.converted(before, samples))


class _Compilation:
    def __init__(self, options: Options, staging: Staging) -> None:
        self.options, self.staging = options, staging
        self.formats = options.formats or staging.target.formats
        self.folder = options.output or default_folder(options.model, options.target)

    def run(self) -> Report:
        """Compile, write and verify."""
        options, staging = self.options, self.staging
        require_replaceable(self.folder)
        model = staging.import_model()
        calibration = staging.calibration_samples(model)
        test = calibration
        if options.test is not None:
            test = load_samples(
                options.test, model.input_shape, input_parts(model.graph), labelled=None
            )
        with writing_build(self.folder) as aside:
            before = staging.prepared(model)
            analogue = climb_analogue(before, test, staging.progress)
            converted, context = staging.converted(before, calibration)
            source = model.source
            del model, before  # as large as all that is made of them, and read again in the end
            stages = staging.lowered(converted, context, aside)
            if options.test is not None:
                staging.warnings.extend(warn_of_clipping(stages.program.graph, test.x))
            refused = self._write(stages.program, aside)
            formats = tuple(name for name in self.formats if name not in refused)
            route = route_of(stages, analogue, formats, refused)
            found = climb(route, test, staging.progress)
            program, lowering = stages.program, stages.lowering
            del converted, stages, route
            trim_heap()
            write_json(aside / OPTIONS_FILE, dataclasses.asdict(options))
            staging.progress("report", 0, 1)
            before = self._read_again(source)
            report = self._report(before, program, lowering, found, aside, test.x)
            write_json(aside / REPORT, as_json(report))
        return report

    def _write(self, program: Program, folder: Path) -> dict[str, str]:
        """Write what ``run`` needs and all formats; return those refused, with the reason.

        Only a format that was not asked for by name may be refused.
        """
        save_archive(program.graph, folder / GRAPH_FILE)
        save_archive(program.circuit, folder / CIRCUIT_FILE)
        refused = {}
        for name in self.formats:
            self.staging.progress(f"write {name}", 0, 1)
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
            self.staging.warnings.append(
                "--reparameterization uniform is for trained LM-HT neurons; there are none"
            )
            return None
        return dataclasses.asdict(uniform_residue(prepared, x[:_RESIDUE_SAMPLES_MAX]))

    def _read_again(self, source: SourceModel) -> AnalogueStages:
        """Return the stages before conversion, from the same file as the first time."""
        source.require_unchanged()
        again = Staging(self.options)
        return again.prepared(again.import_model())

    def _report(
        self,
        before: AnalogueStages,
        program: Program,
        lowering: str,
        found: Climb,
        folder: Path,
        x: Array,
    ) -> Report:
        graph, circuit, target = program.graph, program.circuit, self.staging.target
        prepared = before.prepared
        return Report(
            model={
                "name": model_name(self.options.model),
                "sha256": before.model.source.sha256,
            },
            target=target.name,
            lowering=lowering,
            method=origin_of(prepared) or self.options.method,
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
                count_multiply_accumulates(prepared),
            ),
            saturations=found.saturations,
            reparameterization=self._residue(prepared, x),
            ladder=found.rungs,
            layers=report_layers(prepared, program, x),
            lowerings=compare_lowerings(graph, lowering, target, x, self.options.schedule),
            warnings=tuple(self.staging.warnings),
            assumptions=tuple(
                target.assumptions[name]
                for name in sorted(features_of(circuit))
                if name in target.assumptions
            ),
            files=tuple(sorted([REPORT, *files_in(folder)])),
        )
