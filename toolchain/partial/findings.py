"""What the compilation of a model in segments has found out, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from toolchain.partial.planning import Place
from toolchain.report import Rung

Direction: TypeAlias = Literal["to chip", "to host"]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A value that goes from the host to the chip or back, for each sample.

    Attributes:
        segment: Name of the segment on the chip.
        direction: ``to chip`` or ``to host``.
        tensor: Name of the ONNX value.
        shape: Of one sample.
        values: Number of elements of one sample.
        bits: That one of them takes: the payload of the spike that carries it to the chip; what
            holds every sum that can be read from it.
        bytes_per_sample: That all of them take.
        isolated_error: Relative RMS error of what comes back, if all that the segment reads is
            the model's own; `None` on the way there, and where all of it is 0.
        cumulative_error: Likewise, behind the segments before it.
    """

    segment: str
    direction: Direction
    tensor: str
    shape: tuple[int, ...]
    values: int
    bits: int
    bytes_per_sample: int
    isolated_error: float | None = None
    cumulative_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class ChipFindings:
    """What a segment takes of the chip; its build has the whole report.

    Attributes:
        lowering: Its lowering.
        levels: Largest spike count of a neuron.
        neurons: Copies and read-outs included.
        synapses: Connections with a weight other than 0.
        time_steps: From a sample's first step to its answer, inclusive.
        spikes_per_sample: Mean, from the step engine; `None` if it was not run.
        synaptic_operations_per_sample: Likewise.
        is_kept: Whether no rung of its own ladder broke its promise.
    """

    lowering: str
    levels: int
    neurons: int
    synapses: int
    time_steps: int
    spikes_per_sample: float | None
    synaptic_operations_per_sample: float | None
    is_kept: bool


@dataclass(frozen=True, kw_only=True)
class SegmentFindings:
    """A part of the model.

    Attributes:
        name: Number and place.
        place: ``chip`` or ``host``.
        nodes: Names of its ONNX nodes, those of constants left out.
        operators: Their types.
        inputs: Values that it reads.
        outputs: Values that it makes for others.
        multiply_accumulates: For one sample, as far as shapes are known.
        share: Those of all of the model's.
        chip: What it takes there; `None` on the host.
    """

    name: str
    place: Place
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    multiply_accumulates: int
    share: float
    chip: ChipFindings | None = None


@dataclass(frozen=True, kw_only=True)
class PartialReport:
    """What the compilation of a model in segments has found out.

    Attributes:
        model: ``name`` and ``sha256`` of the ONNX file.
        target: Name of the target.
        share_of_nodes: Nodes in segments on the chip, of all that depend on the sample.
        share_of_multiply_accumulates: Likewise of multiply-accumulates.
        bytes_to_chip: That all segments on the chip are sent for one sample.
        bytes_to_host: That they send back.
        ladder: ``onnxruntime`` is the model; ``split``, its segments, all on the host;
            ``chain``, its segments where they belong.
        segments: In the order they run.
        crossings: All values that go to a segment on the chip or come from it.
        warnings: Sentences the user should read.
        assumptions: What the target assumes.
        files: Names of the files, relative to the build folder.
    """

    model: dict[str, str]
    target: str
    share_of_nodes: float
    share_of_multiply_accumulates: float
    bytes_to_chip: int
    bytes_to_host: int
    ladder: tuple[Rung, ...]
    segments: tuple[SegmentFindings, ...]
    crossings: tuple[Crossing, ...]
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether no rung broke its promise, neither of a segment nor of the whole."""
        kept = all(segment.chip is None or segment.chip.is_kept for segment in self.segments)
        return kept and all(rung.status != "broken" for rung in self.ladder)
