"""From an ONNX file to a build in segments, those of the chip by the ordinary pipeline."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain.build_folder import (
    REPORT,
    default_folder,
    files_in,
    model_name,
    require_replaceable,
    write_json,
    writing_build,
)
from toolchain.calibration_samples import calibration_samples
from toolchain.checking import check_model
from toolchain.data import Samples, load_samples
from toolchain.errors import CompileError
from toolchain.ir.clipping import describe_clipping
from toolchain.limits import Deadline
from toolchain.options import OPTIONS_FILE, Options
from toolchain.partial.boundary_samples import save_boundaries
from toolchain.partial.chain import Chain, ChipRun, HostRun
from toolchain.partial.findings import (
    ChipFindings,
    Crossing,
    PartialReport,
    SegmentFindings,
)
from toolchain.partial.ladder import Climb, climb
from toolchain.partial.manifest import (
    Manifest,
    build_folder,
    manifest_of,
    model_file,
    write_manifest,
)
from toolchain.partial.planning import Plan, Segment, plan_model
from toolchain.partial.traffic import crossings_of
from toolchain.pipeline import compile_model
from toolchain.report import Report, as_json
from toolchain.staging import Dump, Progress

WITHOUT_EFFECT = "--partial changes nothing: every node of the model compiles"
"""Warning where the ordinary compilation does it all."""

_GUESSED = (
    "thresholds are guesses: there are no calibration samples, so the network was "
    "calibrated on random numbers; give real ones with --calibration"
)
_LEVELS = 15
"""Levels of which it is checked what compiles, where they are chosen later."""


def compile_partial(
    options: Options, *, progress: Progress = lambda *_: None, dump: Dump = lambda _: None
) -> PartialReport | Report:
    """Compile an ONNX model in segments, and verify them alone and together.

    Args:
        options: What to do; those of segments are the same.
        progress: Told the stage, the samples done and the samples in all.
        dump: Given the text form of each segment that ``options.dump_after`` asks for.

    Returns:
        What was found out; a `Report` where every node of the model compiles, so that there is
        nothing to split.

    Raises:
        CompileError: It cannot be compiled as asked. Nothing has been written.
    """
    require_replaceable(options.output or default_folder(options.model, options.target))
    progress("plan", 0, 1)
    deadline = Deadline(options.max_seconds)
    levels = options.levels or _LEVELS
    found = check_model(
        options.model, target=options.target, levels=levels, limits=options.limits
    )
    if found.compiles:
        return compile_model(options, warnings=[WITHOUT_EFFECT], progress=progress, dump=dump)
    plan = plan_model(
        options.model,
        target=options.target,
        levels=levels,
        limits=options.limits,
        check_time=lambda: deadline.check("the plan"),
    )
    return _Compilation(options, plan, deadline, progress, dump).run()


class _Compilation:
    def __init__(
        self, options: Options, plan: Plan, deadline: Deadline, progress: Progress, dump: Dump
    ) -> None:
        self.options, self.plan, self.dump = options, plan, dump
        self._told, self._deadline = progress, deadline
        self.folder = options.output or default_folder(options.model, options.target)
        self.warnings: list[str] = []
        if plan.unused:
            self.warnings.append(
                f"left out, because no output depends on it: {', '.join(plan.unused)}"
            )

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far it is, unless the time is up."""
        self._deadline.check(stage)
        self._told(stage, done, total)

    def run(self) -> PartialReport:
        """Compile, write and verify."""
        options = self.options
        ends = manifest_of(self.plan, self.folder)
        calibration, warnings = calibration_samples(
            options.calibration, options.model, ends.shape, ends.input_parts
        )
        self.warnings.extend(warnings if calibration.source else [_GUESSED])
        test = calibration
        if options.test is not None:
            test = load_samples(options.test, ends.shape, ends.input_parts, labelled=None)
        with writing_build(self.folder) as aside:
            manifest = write_manifest(self.plan, aside)
            split = manifest.chain(manifest.on_host)
            reports = self._compile_segments(manifest, split, calibration)
            runs = {part.name: manifest.on_chip(part, "count") for part in manifest.chips}
            found = self._climb(manifest, split, runs, test)
            if options.test is not None:
                self.warnings.extend(_clipped(runs))
            write_json(aside / OPTIONS_FILE, dataclasses.asdict(self.options))
            report = self._report(reports, runs, found, aside)
            write_json(aside / REPORT, as_json(report))
        return report

    def _compile_segments(
        self, manifest: Manifest, split: Chain, samples: Samples
    ) -> dict[str, Report]:
        """Compile the segments for the chip, each on the model's own values."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {part.name: Path(folder) / f"{part.name}.npz" for part in manifest.chips}
            counts = save_boundaries(
                split,
                samples.x,
                manifest.shapes,
                {paths[part.name]: part.inputs for part in manifest.chips},
                lambda done: self.progress("boundaries", done, len(samples)),
            )
            self.warnings.extend(
                f"{name}: calibrated on the first {counts[path]} of {len(samples)} samples: "
                "what it reads is large"
                for name, path in paths.items()
                if counts[path] < len(samples)
            )
            return {
                name: self._compile(name, manifest.folder, path) for name, path in paths.items()
            }

    def _compile(self, name: str, folder: Path, calibration: Path) -> Report:
        options = dataclasses.replace(
            self.options,
            model=model_file(folder, name),
            calibration=calibration,
            test=None,
            output=build_folder(folder, name),
            max_seconds=self._deadline.left,
        )

        def progress(stage: str, done: int, total: int) -> None:
            self.progress(f"{name}: {stage}", done, total)

        try:
            return compile_model(options, progress=progress, dump=self.dump)
        except CompileError as error:
            error.problem = f"in segment {name}, {error.problem}"
            raise

    def _climb(
        self, manifest: Manifest, split: Chain, runs: Mapping[str, ChipRun], test: Samples
    ) -> Climb:
        source = HostRun(
            str(self.options.model),
            self.plan.file.source.SerializeToString(),
            list(manifest.heads),
        )
        ladder = manifest.ladder(dataclasses.replace(split, runs=(source,)), split, runs)
        return climb(ladder, test, lambda done: self.progress("chain", done, len(test)))

    def _report(
        self,
        reports: Mapping[str, Report],
        runs: Mapping[str, ChipRun],
        found: Climb,
        folder: Path,
    ) -> PartialReport:
        plan = self.plan
        crossings = [
            crossing
            for name in reports
            for crossing in crossings_of(name, runs[name].program, found.errors)
        ]
        total = sum(len(segment.nodes) for segment in plan.segments)
        own = (f"{name}: {sentence}" for name in reports for sentence in reports[name].warnings)
        return PartialReport(
            model={"name": model_name(self.options.model), "sha256": plan.file.sha256},
            target=self.options.target,
            share_of_nodes=sum(len(segment.nodes) for segment in plan.of("chip")) / total,
            share_of_multiply_accumulates=plan.share_of_multiply_accumulates,
            bytes_to_chip=_bytes(crossings, "to chip"),
            bytes_to_host=_bytes(crossings, "to host"),
            ladder=found.rungs,
            segments=tuple(
                _segment(plan, segment, reports.get(segment.name)) for segment in plan.segments
            ),
            crossings=tuple(crossings),
            warnings=(*self.warnings, *own),
            assumptions=tuple(
                dict.fromkeys(a for r in reports.values() for a in r.assumptions)
            ),
            files=tuple(sorted([REPORT, *files_in(folder)])),
        )


def _clipped(runs: Mapping[str, ChipRun]) -> Iterator[str]:
    """Yield warnings of what segments read that lies beyond what they were calibrated on."""
    for name, run in runs.items():
        if run.tally is not None:
            for sentence in describe_clipping(run.tally.clippings):
                yield f"{name}: {sentence}"


def _segment(plan: Plan, segment: Segment, report: Report | None) -> SegmentFindings:
    operators = {node.name: node.op_type for node in plan.file.source.graph.node}
    total = sum(held.multiply_accumulates for held in plan.segments)
    return SegmentFindings(
        name=segment.name,
        place=segment.place,
        nodes=segment.nodes,
        operators=tuple(operators[name] for name in segment.nodes),
        inputs=segment.region.inputs,
        outputs=segment.region.outputs,
        multiply_accumulates=segment.multiply_accumulates,
        share=segment.multiply_accumulates / total,
        chip=None if report is None else _on_chip(report),
    )


def _on_chip(report: Report) -> ChipFindings:
    return ChipFindings(
        lowering=report.lowering,
        levels=report.levels,
        neurons=report.neurons,
        synapses=report.synapses,
        time_steps=report.time_steps,
        spikes_per_sample=report.spikes_per_sample,
        synaptic_operations_per_sample=report.synaptic_operations_per_sample,
        is_kept=report.is_kept,
    )


def _bytes(crossings: list[Crossing], direction: str) -> int:
    return sum(c.bytes_per_sample for c in crossings if c.direction == direction)
