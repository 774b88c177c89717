"""A finished build in segments, verified again: its files, each segment, and all together."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from toolchain.build_folder import REPORT, listed_files, read_report
from toolchain.build_verification import (
    BuildVerification,
    FileFinding,
    options_of,
    verify_build,
)
from toolchain.calibration_samples import calibration_samples
from toolchain.data import Samples, load_samples
from toolchain.digest import digest_of
from toolchain.engine import ENGINES
from toolchain.errors import CompileError, InputDataError, UnknownNameError
from toolchain.frontend.model_file import read_file
from toolchain.partial.boundary_samples import save_boundaries
from toolchain.partial.chain import Chain, HostRun
from toolchain.partial.ladder import RUNGS, climb
from toolchain.partial.manifest import (
    Manifest,
    build_folder,
    model_file,
    read_manifest,
)
from toolchain.report import Rung
from toolchain.verification.analogue import IMPORT_TOLERANCE
from toolchain.verification.rungs import RUNGS as RUNGS_OF_SEGMENTS

Progress: TypeAlias = Callable[[str, int, int], None]


def verify_partial(
    folder: Path,
    data: Path | None,
    *,
    rungs: tuple[str, ...] | None = None,
    tolerance: float | None = None,
    model: Path | None = None,
    progress: Progress = lambda *_: None,
) -> BuildVerification:
    """Verify a finished build in segments.

    Args:
        folder: Of the build; nothing in it is changed.
        data: An npz file with samples to run; `None` looks at the files alone.
        rungs: Names of those to run, of segments or of the whole; `None` runs all.
        tolerance: Largest error of imported networks, and of the segments on the host, relative
            to the largest output; `None` for the ladders' own.
        model: The source model; `None` takes the path that the build has noted.
        progress: Told the stage, the samples done and the samples in all.

    Returns:
        The files, and the rungs: those of a segment with its name in front.

    Raises:
        InputDataError: The folder is no such build, or lacks what a network needs.
        UnknownNameError: There is no such rung.
    """
    _require_known(rungs)
    manifest = read_manifest(folder)
    samples = None
    if data is not None:
        samples = load_samples(data, manifest.shape, manifest.input_parts, labelled=None)
    segments = _segments(manifest, samples, rungs, tolerance, progress)
    ladder = [
        dataclasses.replace(rung, rung=f"{name}/{rung.rung}")
        for name, found in segments.items()
        for rung in found.ladder
    ]
    if samples is not None and (rungs is None or not set(rungs).isdisjoint(RUNGS)):
        whole = _whole(manifest, samples, tolerance, model, progress)
        ladder += [rung for rung in whole if rungs is None or rung.rung in rungs]
    return BuildVerification(tuple(_files(manifest, segments)), tuple(ladder))


def _require_known(rungs: tuple[str, ...] | None) -> None:
    artifacts = [name for name in ENGINES if ENGINES[name].artifact]
    known = dict.fromkeys((*RUNGS_OF_SEGMENTS, *artifacts, *RUNGS))
    for rung in rungs or ():
        if rung not in known:
            raise UnknownNameError(f"no rung is called {rung!r}; known: {', '.join(known)}")


def _segments(
    manifest: Manifest,
    samples: Samples | None,
    rungs: tuple[str, ...] | None,
    tolerance: float | None,
    progress: Progress,
) -> dict[str, BuildVerification]:
    """Verify each segment on the chip by itself, on the model's own values."""
    own = None if rungs is None else tuple(rung for rung in rungs if rung not in RUNGS)
    with tempfile.TemporaryDirectory() as folder:
        data: Mapping[str, Path] = {}
        calibration: Mapping[str, Path] = {}
        if samples is not None and own != ():
            data = _boundaries(manifest, samples, Path(folder) / "test", progress)
            calibration = _calibration(manifest, Path(folder) / "calibration", progress)
        return {
            part.name: verify_build(
                build_folder(manifest.folder, part.name),
                data.get(part.name),
                rungs=own,
                tolerance=tolerance,
                model=model_file(manifest.folder, part.name),
                calibration=calibration.get(part.name),
                progress=progress,
            )
            for part in manifest.chips
        }


def _calibration(manifest: Manifest, folder: Path, progress: Progress) -> dict[str, Path]:
    """Return the calibration samples of the segments; none if the model's are not at hand."""
    try:
        options = options_of(manifest.folder, None)
        samples, _ = calibration_samples(
            options.calibration, options.model, manifest.shape, manifest.input_parts
        )
    except CompileError:
        return {}
    return _boundaries(manifest, samples, folder, progress)


def _boundaries(
    manifest: Manifest, samples: Samples, folder: Path, progress: Progress
) -> dict[str, Path]:
    """Write what the segments on the chip read, and return the files by segment."""
    folder.mkdir()
    paths = {part.name: folder / f"{part.name}.npz" for part in manifest.chips}
    save_boundaries(
        manifest.chain(manifest.on_host),
        samples.x,
        manifest.shapes,
        {paths[part.name]: part.inputs for part in manifest.chips},
        lambda done: progress("boundaries", done, len(samples)),
    )
    return paths


def _whole(
    manifest: Manifest,
    samples: Samples,
    tolerance: float | None,
    model: Path | None,
    progress: Progress,
) -> tuple[Rung, ...]:
    """Return the rungs of all segments together."""
    split = manifest.chain(manifest.on_host)
    runs = {part.name: manifest.on_chip(part, "count") for part in manifest.chips}
    source, why = _source(manifest, split, model)
    ladder = manifest.ladder(source, split, runs, tolerance or IMPORT_TOLERANCE)
    found = climb(ladder, samples, lambda done: progress("chain", done, len(samples)))
    return tuple(
        dataclasses.replace(rung, why=why) if rung.status == "skipped" else rung
        for rung in found.rungs
    )


def _source(manifest: Manifest, split: Chain, model: Path | None) -> tuple[Chain | None, str]:
    """Return the source model as a chain of one, or why it is not at hand."""
    try:
        options = options_of(manifest.folder, model)
        file = read_file(options.model, options.limits)
        if file.sha256 != manifest.sha256:
            raise InputDataError(f"{str(file.path)!r} is not the model that was compiled")
        content = file.source.SerializeToString()
        run = HostRun(str(file.path), content, list(manifest.heads))
    except CompileError as error:
        return None, f"the source model is not at hand: {error.problem}"
    return dataclasses.replace(split, runs=(run,)), ""


def _files(
    manifest: Manifest, segments: Mapping[str, BuildVerification]
) -> Iterator[FileFinding]:
    """Yield what is found of all files; those of segments are compared with their graphs."""
    report = read_report(manifest.folder)
    inner = {
        build_folder(Path(), name).joinpath(finding.name).as_posix(): finding
        for name, found in segments.items()
        for finding in found.files
    }
    digests = report.get("sha256")
    for name in listed_files(report, manifest.folder):
        if name == REPORT:
            continue
        file, noted = (
            manifest.folder / name,
            digests.get(name) if isinstance(digests, dict) else None,
        )
        if not file.is_file():
            yield FileFinding(
                name, "missing", "it is in the list of files and not in the folder"
            )
        elif name in inner:
            yield dataclasses.replace(inner[name], name=name)
        elif noted is not None and digest_of(file) != noted:
            yield FileFinding(name, "changed", "not as it was written")
        else:
            yield FileFinding(name, "ok")
