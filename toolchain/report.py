"""What a compilation found out, as data; `as_json` has the stable keys of ``report.json``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["ok", "broken", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One stage of the compiler, run on samples and compared with the stage above it.

    Attributes:
        rung: Name of the stage: ``onnxruntime``, ``imported``, ``approximated`` (of networks
            with smooth activations), ``converted``, ``lowered``, ``quantized``, ``count``,
            ``step``, or a format's name.
        promise: ``reference``, ``exact``, ``within x``, ``within x, ties apart`` or ``lossy by
            design``, against the rung above it. Where the source network spikes itself, each
            population is compared on the spikes of the source before it; a tie is a spike count
            that a rounding error of the source decides. Networks that count the steps of a
            quantized model promise ``exact, ties apart`` and ``within a level`` besides.
        status: Whether it was kept.
        samples: How many samples it ran; 0 if skipped.
        metric: Share of samples with the right answer; `None` without labels.
        agreement: Share of samples with the answer of the source network; `None` if skipped or
            if that was not run.
        max_abs_error: Largest difference of an output from the rung above it, in units of the
            model's output; `None` for the first, for skipped rungs, where that was not run, and
            where it is not finite.
        first_difference: Where an exact rung first differs: layer, neuron, sample (and time
            step); `None` if it does not.
        why: Reason for the status; empty if there is nothing to say.
    """

    rung: str
    promise: str
    status: Status
    samples: int = 0
    metric: float | None = None
    agreement: float | None = None
    max_abs_error: float | None = None
    first_difference: str | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One population, and how far it is from the activation it replaces.

    Attributes:
        name: Of the population.
        shape: Of the population, without copies.
        neurons: On the chip, copies included.
        bound: ``proved`` or ``observed`` range of its input current.
        weight_bits: Bits that the largest weight uses, sign included.
        isolated_error: Relative RMS error of its activations if all layers before it were
            perfect; `None` if not measured.
        cumulative_error: The same with the real layers before it.
        silent: Share of its neurons that never spiked on the samples.
        saturated: Share of its windows that reached the highest level.
        firing_rate: Mean spike count per window and level, 0 to 1.
    """

    name: str
    shape: tuple[int, ...]
    neurons: int
    bound: str
    weight_bits: int
    isolated_error: float | None = None
    cumulative_error: float | None = None
    silent: float | None = None
    saturated: float | None = None
    firing_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Modelled energy of one sample; the operations are counted, their costs are assumed.

    Attributes:
        accumulates: Synaptic operations of binary spikes.
        multiply_accumulates: Synaptic operations of graded spikes: the input, and constants.
        source_multiply_accumulates: Of the source network.
        network_j: Of the spiking network, in joules.
        source_j: Of the source network, in joules.
    """

    accumulates: float
    multiply_accumulates: float
    source_multiply_accumulates: int
    network_j: float
    source_j: float


@dataclass(frozen=True, kw_only=True)
class LoweringReport:
    """What a lowering would take: worked out for all, mapped for the one that was chosen.

    Attributes:
        name: Of the lowering.
        is_chosen: Whether this build has it.
        time_steps: From a sample's first step to its answer, inclusive, in either schedule.
        period: Time steps between the first steps of successive samples.
        periods: The same for each schedule, ``sequential`` and ``pipelined``.
        neurons: On the chip, copies, relays and read-outs included.
        synapses: Connections with a weight other than 0, from the integers of the chosen
            lowering; about four for each neuron that needs a gate.
        spikes_per_sample: Mean over a few samples, from the counts of the chosen lowering.
        needs_program: Whether it needs neuron programs that are not among the stock ones.
        fits: Whether one chip has as many neurons.
    """

    name: str
    is_chosen: bool
    time_steps: int
    period: int
    periods: dict[str, int]
    neurons: int
    synapses: int
    spikes_per_sample: float
    needs_program: bool
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a compilation found out.

    Attributes:
        model: ``name`` and ``sha256`` of the ONNX file.
        target: Name of the target.
        lowering: ``temporal``, ``spatial`` or ``radix``.
        method: Conversion method; ``trained`` or ``quantized`` where the
            model brings its neurons or their steps.
        levels: Largest spike count of a neuron in one window.
        windows: Windows of one sample; 1 unless the network was trained with more.
        schedule: ``sequential`` or ``pipelined``: whether a sample enters before the one before
            it has left.
        time_steps: From a sample's first step to its answer, inclusive, in either schedule.
        period: Time steps between the first steps of successive samples.
        periods: The same for each schedule, whichever the build has.
        nodes: ONNX nodes in the model (``in``) and those the circuit accounts for.
        neurons: On the chip, copies and read-outs included.
        synapses: Connections with a weight other than 0.
        spikes_per_sample: Mean, from the step engine; `None` if it was not run.
        synaptic_operations_per_sample: Likewise.
        energy: Modelled from these counts; `None` if they were not taken.
        reparameterization: What the published way to one threshold would have changed, by
            ``--reparameterization uniform``: per layer the ``counts`` compared and the share of
            them that differ by itself (``isolated``) and behind changed layers
            (``cumulative``), and the share of ``answers``; `None` if it was not asked for.
        saturations: Times a register left its range, over all samples of the step engine.
        ladder: The rungs, from the source network down.
        layers: The populations, from the input on.
        lowerings: What each lowering that the network could take would need; empty with
            several windows.
        warnings: Sentences the user should read.
        assumptions: What the target assumes.
        files: Names of the artifacts, relative to the build folder.
    """

    model: dict[str, str]
    target: str
    lowering: str
    method: str
    levels: int
    windows: int
    schedule: str
    time_steps: int
    period: int
    periods: dict[str, int]
    nodes: dict[str, int]
    neurons: int
    synapses: int
    spikes_per_sample: float | None
    synaptic_operations_per_sample: float | None
    saturations: int
    ladder: tuple[Rung, ...]
    layers: tuple[LayerReport, ...]
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())
    energy: Energy | None = None
    reparameterization: dict[str, Any] | None = None
    lowerings: tuple[LoweringReport, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether no rung broke its promise."""
        return all(rung.status != "broken" for rung in self.ladder)


def as_json(report: Any) -> dict[str, Any]:
    """Return a report as JSON values, under its field names.

    Numbers that are not finite, which JSON lacks, become `None`.

    Args:
        report: A dataclass: a `Report`, or another of what was found out.
    """
    return {key: _finite(value) for key, value in dataclasses.asdict(report).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
