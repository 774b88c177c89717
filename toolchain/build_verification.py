"""A finished build, verified again: its files, and the ladder on samples of the user's.

Files are looked at in two ways. Each has the digest that was noted when it was written; and
each but the graph is made again from the graph, with which it must agree, so that a weight
that was changed is named even where no sample meets it. The ladder is that of a compilation
(`toolchain.verification.ladder`), on what the build holds. Stages before the quantized graph
are not in a build: they are compiled again where the model is still there.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from toolchain.build_folder import (
    REPORT,
    WRITTEN_BY,
    listed_files,
    read_report,
)
from toolchain.data import Samples, load_samples, require_shape
from toolchain.digest import digest_of
from toolchain.engine import ENGINES, Program
from toolchain.errors import CompileError, InputDataError, UnknownNameError
from toolchain.execution import CIRCUIT_FILE, GRAPH_FILE
from toolchain.frontend.model_file import read_model
from toolchain.ir._fields import misfit
from toolchain.ir.archive import load_archive, save_archive
from toolchain.ir.ends import encode_samples, input_parts, require_same_ends, sample_shape
from toolchain.ir.graph import Graph
from toolchain.ir.mapped import Circuit
from toolchain.ir.verify import verify_phase
from toolchain.mapping import MAPPINGS
from toolchain.options import OPTIONS_FILE, Options
from toolchain.pipeline import compile_stages
from toolchain.report import Rung
from toolchain.schedule import AUTO, scheduled
from toolchain.target import FORMATS, TARGETS
from toolchain.verification.analogue import climb_analogue
from toolchain.verification.comparison import first_spike
from toolchain.verification.content import first_file_difference
from toolchain.verification.ladder import Route, climb
from toolchain.verification.rungs import APPROXIMATED, RUNGS
from toolchain.verification.stages import AnalogueStages, Stages

Progress: TypeAlias = Callable[[str, int, int], None]

_PATHS = ("model", "calibration", "test", "output")
_OF_THE_MODEL = RUNGS[:4]
_TRACED, _TRACED_MAX = 4, 64


@dataclass(frozen=True)
class FileFinding:
    """One file of a build.

    Attributes:
        name: Relative to the build folder.
        status: Whether it is as it was written, and agrees with the graph.
        why: Where it differs; empty if there is nothing to say.
    """

    name: str
    status: Literal["ok", "changed", "missing"]
    why: str = ""


@dataclass(frozen=True)
class BuildVerification:
    """What was found of a build.

    Attributes:
        files: All that the build says it holds, but its report.
        ladder: The rungs that were wanted; empty without samples.
    """

    files: tuple[FileFinding, ...]
    ladder: tuple[Rung, ...]

    @property
    def is_kept(self) -> bool:
        """Whether all files are as they were and no rung broke its promise."""
        return all(finding.status == "ok" for finding in self.files) and all(
            rung.status != "broken" for rung in self.ladder
        )


def verify_build(
    folder: Path,
    samples: Samples | Path | None,
    *,
    rungs: tuple[str, ...] | None = None,
    tolerance: float | None = None,
    model: Path | None = None,
    calibration: Path | None = None,
    progress: Progress = lambda *_: None,
) -> BuildVerification:
    """Verify a finished build.

    Args:
        folder: Of the build; nothing in it is changed.
        samples: To run, or an npz file of them; `None` looks at the files alone.
        rungs: Names of those to run; `None` runs all.
        tolerance: Largest error of the imported network, relative to its largest output; `None`
            for what the types of the model allow.
        model: The source model; `None` takes the path that the build has noted.
        calibration: Its calibration samples; `None` takes the path that the build has noted.
        progress: Told the stage, the samples done and the samples in all.

    Raises:
        InputDataError: The folder is no build, or lacks what a network needs.
        UnknownNameError: There is no such rung.
    """
    build = _Build(folder, model, calibration)
    build.require_known(rungs)
    graph = build.program.graph
    if isinstance(samples, Path):
        shape, parts = sample_shape(graph), input_parts(graph)
        samples = load_samples(samples, shape, parts, labelled=None)
    elif samples is not None:
        require_shape(samples, sample_shape(graph))
    with tempfile.TemporaryDirectory() as made:
        files = build.look_at_files(Path(made))
        if samples is None:
            return BuildVerification(files, ())
        route = build.route(Path(made), samples, rungs, tolerance, progress)
        found = build.climbed(route, samples, progress)
    return BuildVerification(files, found)


class _Build:
    def __init__(self, folder: Path, model: Path | None, calibration: Path | None) -> None:
        self.folder = folder
        self.report = read_report(folder)
        self.options = options_of(folder, model, calibration)
        graph = load_archive(folder / GRAPH_FILE, Graph)
        verify_phase(graph)
        circuit = load_archive(folder / CIRCUIT_FILE, Circuit)
        self.program = Program(graph, circuit, folder.absolute())
        self.target = TARGETS[self.options.target]
        try:
            self.names = [name for name in listed_files(self.report, folder) if name != REPORT]
            self.sha256 = str(self.report["model"]["sha256"])
            self.refused = {
                rung["rung"] for rung in self.report["ladder"] if "not written" in rung["why"]
            }
        except (KeyError, TypeError):
            raise _damaged(folder / REPORT) from None
        self.altered = {name for name in self.names if self._is_altered(name)}
        self.mapped: Circuit | None = None
        self.why_not_mapped = ""

    def require_known(self, rungs: tuple[str, ...] | None) -> None:
        known = (*RUNGS, APPROXIMATED, *(name for name in ENGINES if ENGINES[name].artifact))
        for rung in rungs or ():
            if rung not in known:
                raise UnknownNameError(f"no rung is called {rung!r}; known: {', '.join(known)}")

    def look_at_files(self, made: Path) -> tuple[FileFinding, ...]:
        """Compare all files with their digests, and with what the graph gives anew."""
        self._map()
        self._make_again(made, is_graph_altered=GRAPH_FILE in self.altered)
        return tuple(
            FileFinding(name, "missing", "it is in the list of files and not in the folder")
            if not (self.folder / name).is_file()
            else self._finding(name, made, is_altered=name in self.altered)
            for name in self.names
        )

    def _is_altered(self, name: str) -> bool:
        digests, file = self.report.get("sha256"), self.folder / name
        noted = digests.get(name) if isinstance(digests, dict) else None
        return noted is not None and file.is_file() and digest_of(file) != noted

    def _map(self) -> None:
        try:
            mapping = MAPPINGS[str(self.report.get("lowering"))]
            mapped = mapping(self.program.graph, self.target)
            self.mapped = scheduled(mapped, str(self.report.get("schedule", AUTO)))
        except CompileError as error:
            self.why_not_mapped = error.problem
        except Exception as error:
            if not self.altered:
                raise
            self.why_not_mapped = f"{type(error).__name__}: {error}"

    def _make_again(self, made: Path, *, is_graph_altered: bool) -> None:
        """Write the files that the graph gives; those of a circuit if the graph is altered."""
        circuit = self.program.circuit if is_graph_altered else self.mapped
        if circuit is None:
            return
        save_archive(circuit, made / CIRCUIT_FILE)
        for name in self.options.formats or self.target.formats:
            try:
                FORMATS[name](Program(self.program.graph, circuit), made)
            except CompileError:
                continue  # it was not written then, or its file is found to be altered

    def _finding(self, name: str, made: Path, *, is_altered: bool) -> FileFinding:
        where = self._difference(name, made)
        if is_altered:
            return FileFinding(name, "changed", where or "not as it was written")
        if where is None or name == GRAPH_FILE:
            return FileFinding(name, "ok")
        if self.report.get("written_by") != WRITTEN_BY:
            return FileFinding(name, "ok", f"{WRITTEN_BY} would write: {where}")
        return FileFinding(name, "changed", f"does not agree with {GRAPH_FILE}: {where}")

    def _difference(self, name: str, made: Path) -> str | None:
        """Return where a file differs from what it should hold; `None` if that is unknown."""
        if name == GRAPH_FILE:
            return self._difference_of_graph(made)
        if not (made / name).is_file():
            return None
        try:
            return first_file_difference(self.folder / name, made / name)
        except InputDataError as error:
            return error.problem

    def _difference_of_graph(self, made: Path) -> str | None:
        """Return where the graph differs, as far as the circuit that was made of it says."""
        if self.mapped is None:
            return f"it cannot be mapped: {self.why_not_mapped}"
        made_of_it = made / f"mapped-{CIRCUIT_FILE}"
        save_archive(self.mapped, made_of_it)
        where = first_file_difference(made_of_it, self.folder / CIRCUIT_FILE)
        return (
            None if where is None else f"what it maps to differs from {CIRCUIT_FILE}: {where}"
        )

    def route(
        self,
        made: Path,
        samples: Samples,
        rungs: tuple[str, ...] | None,
        tolerance: float | None,
        progress: Progress,
    ) -> Route:
        """Return the rungs that can be climbed, those above ``converted`` climbed."""
        wanted = None if rungs is None else frozenset(rungs)
        artifacts = [ENGINES[name].artifact for name in ENGINES]
        route = Route(
            program=self.program,
            artifacts=tuple(a for a in artifacts if a is not None and self._holds(a)),
            wanted=wanted,
        )
        if not any(route.has(rung) for rung in _OF_THE_MODEL):
            return route
        try:
            before, stages = self._compiled_again()
        except CompileError as error:
            model = str(self.options.model)
            why = f"the model {model!r} cannot be compiled again: {error.problem}; --model says"
            why += " where it is"
            return dataclasses.replace(route, absent=dict.fromkeys(_OF_THE_MODEL, why))
        analogue = climb_analogue(before, samples, progress, wanted=wanted, tolerance=tolerance)
        return self._with_model(dataclasses.replace(route, analogue=analogue), stages, made)

    def _holds(self, artifact: str) -> bool:
        """Tell whether the compilation has written the files of a format."""
        formats = self.options.formats or self.target.formats
        return artifact in formats and artifact not in self.refused

    def _compiled_again(self) -> tuple[AnalogueStages, Stages]:
        model = self.options.model
        if read_model(model, self.options.limits).sha256 != self.sha256:
            raise InputDataError(f"{str(model)!r} is not the model that was compiled")
        return compile_stages(self.options)

    def _with_model(self, route: Route, stages: Stages, made: Path) -> Route:
        """Return the route with the stages before the quantized graph.

        Those that depend on thresholds are taken only where they lead to the graph of the
        build.
        """
        save_archive(stages.program.graph, made / GRAPH_FILE)
        where = first_file_difference(self.folder / GRAPH_FILE, made / GRAPH_FILE)
        if where is None:
            graphs = {"converted": stages.converted, "lowered": stages.lowered}
            return dataclasses.replace(route, graphs=graphs)
        why = f"compiled again, the model gives another graph than {GRAPH_FILE}: {where}"
        absent = dict.fromkeys(("converted", "lowered"), why)
        return dataclasses.replace(route, absent=absent)

    def climbed(self, route: Route, samples: Samples, progress: Progress) -> tuple[Rung, ...]:
        """Climb the ladder; return the rungs with all that is known of where they differ.

        Raises:
            InputDataError: A network that was changed cannot be run at all.
        """
        try:
            require_same_ends(self.program.graph, self.program.circuit)
            found = climb(route, samples, progress).rungs
            return tuple(self._located(rung, samples) for rung in found)
        except CompileError:
            raise
        except Exception as error:
            altered = self.altered & {GRAPH_FILE, CIRCUIT_FILE}
            if not altered:
                raise
            raise InputDataError(
                f"was changed, and cannot be run: {type(error).__name__}: {error}",
                node=str(self.folder / min(altered)),
                hint="compile the network again",
            ) from error

    def _located(self, rung: Rung, samples: Samples) -> Rung:
        """Return a rung; if the step engine differs, with the time step where that begins."""
        if rung.rung != "step" or rung.status != "broken" or self.mapped is None:
            return rung
        first = next(self._first_spikes(samples, self.mapped), None)
        if first is None:
            return rung
        why = f"{rung.why}; against what {GRAPH_FILE} maps to, it differs at {first}"
        return dataclasses.replace(rung, first_difference=first, why=why)

    def _first_spikes(self, samples: Samples, mapped: Circuit) -> Iterator[str]:
        graph, circuit = self.program.graph, self.program.circuit
        run = ENGINES["step"].run
        for start in range(0, min(len(samples), _TRACED_MAX), _TRACED):
            x = samples.x[start : start + _TRACED]
            inputs = encode_samples(graph, x)
            ours = run(self.program, inputs, trace=True).spikes
            theirs = run(Program(graph, mapped), inputs, trace=True).spikes
            if first := first_spike(circuit, ours, theirs, start):
                yield first


def options_of(folder: Path, model: Path | None, calibration: Path | None = None) -> Options:
    """Return the options of a build, with other paths of model and samples if there are any.

    Raises:
        InputDataError: They are missing or damaged.
    """
    path = folder / OPTIONS_FILE
    try:
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(Options)}
        held = {key: value for key, value in noted.items() if key in known}
        held |= {key: Path(held[key]) for key in _PATHS if held.get(key) is not None}
        if held.get("formats") is not None:
            held["formats"] = tuple(map(str, held["formats"]))
        held["dump_after"] = None
        options = Options(**held)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if misfit(options) is not None:
        raise _damaged(path)
    return dataclasses.replace(
        options,
        model=model or options.model,
        calibration=calibration or options.calibration,
    )


def _damaged(path: Path) -> InputDataError:
    return InputDataError(
        "is missing or damaged", node=str(path), hint="compile the network again"
    )
