"""``partial.json``: what the segments of a build are, and the files that run them.

=============  ===========================================================================
key            meaning
=============  ===========================================================================
``sha256``     Digest of the model.
``inputs``     Of the model: ``name``, ``dtype`` and ``shape`` of one sample of each.
``outputs``    Of the model: ``name`` and ``shape`` of one sample of each, and ``tail``: what is
               done to it last, if that decides what an answer is, ``function`` and ``axis`` of
               each step.
``one_by_one`` Whether segments take one sample at a time.
``values``     ``shape`` of one sample of each value that goes between host and chip.
``segments``   In the order they run. ``name``; ``place``, ``chip`` or ``host``; ``nodes``, the
               ONNX nodes; ``inputs`` and ``outputs``, names of values; ``model``, the file of
               the part as an ONNX model; ``build``, of those on the chip the folder of their
               build, of others `null`.
=============  ===========================================================================
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.build_folder import MANIFEST, read_report
from toolchain.digest import digest_of
from toolchain.errors import InputDataError
from toolchain.execution import load_program
from toolchain.frontend.external_data import has_external_data
from toolchain.ir.ann import HostOp
from toolchain.ir.node import Shape
from toolchain.ir.packing import packed_shape
from toolchain.metrics import Head
from toolchain.partial.chain import Chain, ChipRun, HostRun, Run, Source
from toolchain.partial.ladder import Ladder
from toolchain.partial.planning import Place, Plan
from toolchain.verification.analogue import IMPORT_TOLERANCE

_FOLDER = "segments"
_DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_NAME = re.compile(r"\d+-(chip|host)")


@dataclass(frozen=True)
class Part:
    """A segment of a build.

    Attributes:
        name: Number and place.
        place: ``chip`` or ``host``.
        nodes: Names of the ONNX nodes that depend on the sample.
        inputs: Values that it reads.
        outputs: Values that it makes for others.
    """

    name: str
    place: Place
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """A build in segments.

    Attributes:
        folder: Of the build.
        sha256: Digest of the model.
        sources: The model's inputs.
        heads: The model's outputs, by name.
        is_one_by_one: Whether segments take one sample at a time.
        shapes: Of one sample of the values that go between host and chip.
        parts: In the order they run.
    """

    folder: Path
    sha256: str
    sources: tuple[Source, ...]
    heads: Mapping[str, Head]
    is_one_by_one: bool
    shapes: Mapping[str, Shape]
    parts: tuple[Part, ...]

    @property
    def shape(self) -> Shape:
        """Of one sample; of several inputs, packed."""
        return packed_shape([source.shape for source in self.sources])

    @property
    def input_parts(self) -> dict[str, Shape]:
        """The inputs of which a sample consists, by name; empty for a single one."""
        if len(self.sources) == 1:
            return {}
        return {source.name: source.shape for source in self.sources}

    @property
    def output_parts(self) -> dict[str, Shape]:
        """The outputs of which an answer consists, by name; empty for a single one."""
        if len(self.heads) == 1:
            return {}
        return {name: head.shape for name, head in self.heads.items()}

    @property
    def chips(self) -> tuple[Part, ...]:
        """Segments on the chip."""
        return tuple(part for part in self.parts if part.place == "chip")

    def chain(self, chip: Callable[[Part], Run]) -> Chain:
        """Return the segments as they run.

        Args:
            chip: Returns what runs a segment of the chip.
        """
        runs = [self.on_host(p) if p.place == "host" else chip(p) for p in self.parts]
        return Chain(self.sources, tuple(runs), self.is_one_by_one)

    def on_host(self, part: Part) -> HostRun:
        """Return what runs the source model of a part."""
        path = model_file(self.folder, part.name)
        content = path.read_bytes()
        if has_external_data(content):
            raise InputDataError(
                "has weights in other files; those of a build are inside",
                node=str(path),
                hint="compile the network again",
            )
        return HostRun(str(path), content, part.outputs)

    def on_chip(self, part: Part, engine: str) -> ChipRun:
        """Return what runs a part of the chip through an engine."""
        program = load_program(build_folder(self.folder, part.name), engine)
        graph = program.graph
        reads = {node.tensor: node.source_shape for node in graph.inputs}
        makes = {node.tensor: graph.shapes[node.name] for node in graph.outputs}
        if reads != self._shapes_of(part.inputs) or makes != self._shapes_of(part.outputs):
            raise _damaged(self.folder)
        return ChipRun(program, engine)

    def ladder(
        self,
        source: Chain | None,
        split: Chain,
        runs: Mapping[str, ChipRun],
        tolerance: float = IMPORT_TOLERANCE,
    ) -> Ladder:
        """Return what there is to climb.

        Args:
            source: The model as one; `None` if it is not at hand.
            split: Its segments, all on the host.
            runs: What runs those of the chip, by name.
            tolerance: Largest error of the segments, relative to the largest output.
        """
        return Ladder(
            source=source,
            split=split,
            chain=self.chain(lambda part: runs[part.name]),
            chips=[(runs[part.name], part.outputs) for part in self.chips],
            shapes=self.shapes,
            heads=self.heads,
            tolerance=tolerance,
        )

    def _shapes_of(self, names: Iterable[str]) -> dict[str, Shape]:
        return {name: self.shapes[name] for name in names}


def model_file(folder: Path, name: str) -> Path:
    """Return the file of a segment's ONNX model."""
    return folder / _FOLDER / f"{name}.onnx"


def build_folder(folder: Path, name: str) -> Path:
    """Return the folder of the build of a segment on the chip."""
    return folder / _FOLDER / name


def manifest_of(plan: Plan, folder: Path) -> Manifest:
    """Return what a build of a plan says of itself, wherever it is written."""
    values = plan.values
    sent = dict.fromkeys(value for segment in plan.of("chip") for value in segment.ends)
    return Manifest(
        folder=folder,
        sha256=plan.file.sha256,
        sources=tuple(
            Source(name, values.one.dtype(name), values.shape(name) or ())
            for name in values.samples
        ),
        heads=plan.heads,
        is_one_by_one=plan.is_one_by_one,
        shapes={name: values.shape(name) or () for name in sent},
        parts=tuple(
            Part(s.name, s.place, s.nodes, s.region.inputs, s.region.outputs)
            for s in plan.segments
        ),
    )


def write_manifest(plan: Plan, folder: Path) -> Manifest:
    """Write the file, and the ONNX model of each segment."""
    manifest = manifest_of(plan, folder)
    (folder / _FOLDER).mkdir()
    for segment in plan.segments:
        model_file(folder, segment.name).write_bytes(segment.model.SerializeToString())
    content = {
        "sha256": manifest.sha256,
        "inputs": [dataclasses.asdict(source) for source in manifest.sources],
        "outputs": [
            {
                "name": name,
                "shape": head.shape,
                "tail": [{"function": step.function, "axis": step.axis} for step in head.tail],
            }
            for name, head in manifest.heads.items()
        ],
        "one_by_one": manifest.is_one_by_one,
        "values": {name: {"shape": shape} for name, shape in manifest.shapes.items()},
        "segments": [
            {
                **dataclasses.asdict(part),
                "model": f"{_FOLDER}/{part.name}.onnx",
                "build": f"{_FOLDER}/{part.name}" if part.place == "chip" else None,
            }
            for part in manifest.parts
        ],
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return what a build in segments says of itself.

    Raises:
        InputDataError: The folder is no such build, or it was changed.
    """
    digests = read_report(folder).get("sha256")
    _require_unchanged(folder, folder / MANIFEST, digests)
    try:
        held = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(
            folder=folder,
            sha256=str(held["sha256"]),
            sources=tuple(
                Source(str(entry["name"]), _dtype(entry["dtype"]), _shape(entry))
                for entry in held["inputs"]
            ),
            heads={
                str(entry["name"]): Head(_shape(entry), tuple(map(_step, entry["tail"])))
                for entry in held["outputs"]
            },
            is_one_by_one=bool(held["one_by_one"]),
            shapes={str(name): _shape(entry) for name, entry in held["values"].items()},
            parts=tuple(_part(entry) for entry in held["segments"]),
        )
    except _DAMAGED:
        raise _damaged(folder) from None
    _require_complete(manifest)
    for part in manifest.parts:
        _require_unchanged(folder, model_file(folder, part.name), digests)
    return manifest


def _require_complete(manifest: Manifest) -> None:
    """Refuse a manifest whose values nothing makes, or of which no shape is noted."""
    known = {source.name for source in manifest.sources}
    is_complete = 0 < len(known) == len(manifest.sources) and len(manifest.heads) > 0
    for part in manifest.parts:
        is_complete = is_complete and known.issuperset(part.inputs)
        known.update(part.outputs)
    sent = {value for part in manifest.chips for value in (*part.inputs, *part.outputs)}
    if not is_complete or set(manifest.heads) - known or sent - set(manifest.shapes):
        raise _damaged(manifest.folder)


def _damaged(folder: Path) -> InputDataError:
    return InputDataError(
        "is missing or damaged", node=str(folder / MANIFEST), hint="compile the network again"
    )


def _dtype(name: Any) -> str:
    """Return the name of an element type of numbers."""
    text = str(name)
    if not text.isalnum() or np.dtype(text).kind not in "biuf":
        raise ValueError(text)
    return text


def _shape(entry: Any) -> Shape:
    return tuple(map(int, entry["shape"]))


def _step(entry: Any) -> HostOp:
    function, axis = str(entry["function"]), entry["axis"]
    return HostOp(name=function, function=function, axis=None if axis is None else int(axis))


def _part(entry: Any) -> Part:
    name = str(entry["name"])
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(name)
    place: Place = "chip" if found[1] == "chip" else "host"
    nodes, inputs, outputs = (
        tuple(map(str, entry[key])) for key in ("nodes", "inputs", "outputs")
    )
    return Part(name, place, nodes, inputs, outputs)


def _require_unchanged(folder: Path, file: Path, digests: Any) -> None:
    """Refuse a file that is not as its build says."""
    name = file.relative_to(folder).as_posix()
    noted = digests.get(name) if isinstance(digests, dict) else None
    if not file.is_file() or noted is None or digest_of(file) != noted:
        raise InputDataError(
            "is missing, or has changed since the build was written",
            node=str(file),
            hint="compile the network again",
        )
