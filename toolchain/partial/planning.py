"""Which parts of a model go to the chip and which to the host.

The first plan leaves nothing to the host. Then the check looks at each region on the chip
(`Judge`); what stops one is avoided, and the plan is made anew, until nothing stops any. A step
that compiles by itself is avoided by a cut before it, another one by leaving it to the host.

A region is worth a transfer to the chip if it has enough of the multiply-accumulates of the
model, and enough for each value that is sent there and back; at its ends steps may be left to
the host (`loose_ends`). Each round leaves at least one step more to the host, or cuts before
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import onnx

from toolchain.checking import check_model
from toolchain.checking.multiply_accumulates import count_multiply_accumulates
from toolchain.checking.verdicts import owner_of
from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.functions import is_function
from toolchain.frontend.model_file import ModelFile, read_file
from toolchain.frontend.model_file import check_model as check_consistency
from toolchain.ir.node import Shape
from toolchain.limits import DEFAULT, Limits
from toolchain.metrics import Head
from toolchain.partial.answers import tail_of
from toolchain.partial.dataflow import Flow, Step
from toolchain.partial.extraction import Extraction, takes_one
from toolchain.partial.judging import Judge
from toolchain.partial.loose_ends import loose_ends
from toolchain.partial.regions import Region, levels_of, region_of, regions_of
from toolchain.partial.values import Values, values_of

Place: TypeAlias = Literal["chip", "host"]

LEAST_SHARE = 0.001
"""Share of the model's multiply-accumulates below which a region is left to the host."""

LEAST_WORK = 4
"""Multiply-accumulates for each value sent, below which a region is left to the host."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of a model, as a model of its own.

    Attributes:
        name: Number and place: ``1-chip``.
        place: Where it runs.
        region: Its steps, what they read and what they make for others.
        multiply_accumulates: Of one sample.
        model: The part, with what it needs of the model's constants.
    """

    name: str
    place: Place
    region: Region
    multiply_accumulates: int
    model: onnx.ModelProto

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the ONNX nodes that depend on the sample, in order."""
        return tuple(step.name for step in self.region.steps)

    @property
    def ends(self) -> tuple[str, ...]:
        """What it reads and what it makes for others."""
        return (*self.region.inputs, *self.region.outputs)


@dataclass(frozen=True, eq=False)
class Plan:
    """A model in segments.

    Attributes:
        file: The model.
        values: What is known of its values.
        segments: In the order they run.
        heads: The outputs, by name, each with what the node that makes it does.
        unused: Names of nodes that depend on the sample, and no output on them.
    """

    file: ModelFile
    values: Values
    segments: tuple[Segment, ...]
    heads: Mapping[str, Head]
    unused: tuple[str, ...]

    @property
    def is_one_by_one(self) -> bool:
        """Whether all segments must take one sample at a time.

        They must if one does, and what it reads or makes cannot be taken apart by samples.
        """
        return any(
            takes_one(segment.model)
            and any(self.values.shape(value) is None for value in segment.ends)
            for segment in self.segments
        )

    @property
    def share_of_multiply_accumulates(self) -> float:
        """Those of segments on the chip, of all."""
        total = sum(segment.multiply_accumulates for segment in self.segments)
        return sum(s.multiply_accumulates for s in self.of("chip")) / total

    def of(self, place: Place) -> tuple[Segment, ...]:
        """Return the segments of a place."""
        return tuple(segment for segment in self.segments if segment.place == place)


def plan_model(
    path: Path,
    *,
    target: str = "loihi2",
    levels: int = 15,
    limits: Limits = DEFAULT,
    check_time: Callable[[], None] = lambda: None,
) -> Plan:
    """Split a model into segments for the chip and for the host.

    Args:
        path: Of the model.
        target: Name of the target.
        levels: Largest spike count of a neuron.
        limits: On the size of the model.
        check_time: Called before each look at a part and each change of the plan; may raise.

    Raises:
        ImportModelError: It is no model that can be read, or it is inconsistent.
        UnsupportedOpError: No part of it is worth a segment on the chip, or it has trained
            neurons, or outputs of which samples cannot be told apart.
    """
    file = read_file(path, limits)
    check_consistency(file)
    _require_no_windows(file)
    values = values_of(file)
    flow = Flow(file.source.graph, values.samples)
    outputs = _output_shapes(flow, values)
    _require_few_elements(file, values, flow)
    work = _work(file, values)
    checking = partial(check_model, target=target, levels=levels, limits=limits)
    judge = Judge(Extraction(file.source, values), checking, check_time)
    planner = _Planner(flow, values, judge, work, check_time)
    regions = planner.settled()
    if not regions:
        raise UnsupportedOpError(
            f"no part of the model is worth a segment on the chip: none that can be there has "
            f"{LEAST_SHARE:.1%} of its multiply-accumulates and {LEAST_WORK} for each value "
            "that is sent",
            node=str(path),
            hint="see what stops its nodes: snn-compile check",
        )
    segments = tuple(planner.segments(regions))
    unused = flow.dependent - {step.name for step in flow.steps}
    heads = {
        output: Head(shape, tail_of(flow, judge.extraction, output))
        for output, shape in outputs.items()
    }
    return Plan(file, values, segments, heads, tuple(sorted(unused)))


class _Planner:
    def __init__(
        self,
        flow: Flow,
        values: Values,
        judge: Judge,
        work: Mapping[str, int],
        check_time: Callable[[], None],
    ) -> None:
        self.flow, self.values, self.judge, self.work = flow, values, judge, work
        self.check_time = check_time
        self.least = max(1, math.ceil(LEAST_SHARE * sum(work.values())))
        self.host: set[str] = set()
        self.first: set[str] = set()

    def settled(self) -> Sequence[Region]:
        """Return regions that all compile and are worth it."""
        while True:
            self.check_time()
            regions = regions_of(self.flow, self._levels, self.host)
            before = self._decided
            for look in (self._leave_ends, self._leave_unworthy, self._avoid_stopped):
                for region in regions:
                    look(region)
                if self._decided > before:
                    break
            else:
                return regions

    @property
    def _decided(self) -> int:
        return len(self.host) + len(self.first)

    @property
    def _levels(self) -> dict[str, int]:
        return levels_of(self.flow, self.host, self.first)

    def _leave_ends(self, region: Region) -> None:
        """Leave steps to the host that read or make what cannot go between host and chip."""
        strange = {v for v in (*region.inputs, *region.outputs) if not self.values.is_port(v)}
        left = [s for s in region.steps if not strange.isdisjoint((*s.reads, *s.makes))]
        left = left or loose_ends(
            self.flow,
            region,
            work=self._work_of,
            size=self.values.size,
            takes_neurons=self.judge.takes_neurons,
        )
        self.host.update(step.name for step in left)

    def _leave_unworthy(self, region: Region) -> None:
        work = sum(map(self._work_of, region.steps))
        sent = sum(map(self.values.size, (*region.inputs, *region.outputs)))
        if work < max(self.least, LEAST_WORK * sent):
            self.host |= region.names

    def _avoid_stopped(self, region: Region) -> None:
        stopped = self.judge.stopped(region)
        if stopped is None:
            return
        for name in stopped or self.judge.suspects(region):
            step = next(step for step in region.steps if step.name == name)
            is_first = name in self.first or set(step.reads) <= set(region.inputs)
            is_hopeless = is_first or not self.judge.compiles(region_of(self.flow, [step]))
            (self.host if is_hopeless else self.first).add(name)

    def _work_of(self, step: Step) -> int:
        return self.work[step.name]

    def segments(self, regions: Sequence[Region]) -> Iterator[Segment]:
        """Yield regions, and between them what is left, in an order in which they can run."""
        levels = self._levels
        left: dict[int, list[Step]] = {}
        for step in self.flow.steps:
            if step.name in self.host:
                left.setdefault(levels[step.name], []).append(step)
        parts = [(levels[region.steps[0].name], "chip", region) for region in regions]
        parts += [(n, "host", region_of(self.flow, steps)) for n, steps in left.items()]
        parts.sort(key=lambda part: (*part[:2], part[2].steps[0].place))
        for number, (_, place, region) in enumerate(parts, start=1):
            on_chip = place == "chip"
            yield Segment(
                name=f"{number}-{place}",
                place="chip" if on_chip else "host",
                region=region,
                multiply_accumulates=sum(map(self._work_of, region.steps)),
                model=self._spiking(region) if on_chip else self.judge.extraction.part(region),
            )

    def _spiking(self, region: Region) -> onnx.ModelProto:
        """Return a region as a model that sends spikes to others, if it can."""
        inner = [value for value in region.outputs if value not in self.flow.outputs]
        return self.judge.spiking(region, inner)


def _work(file: ModelFile, values: Values) -> dict[str, int]:
    """Return the multiply-accumulates of all nodes, as far as their shapes are known."""
    work = {node.name: 0 for node in file.source.graph.node}
    dependent = Flow(file.proto.graph, values.samples).dependent
    for node in file.proto.graph.node:
        if node.name in dependent:
            count = count_multiply_accumulates(node, values.one)
            work[owner_of(node.name, work)] += count or 0
    return work


def _require_no_windows(file: ModelFile) -> None:
    """Refuse trained neurons: between them, the batch axis holds windows and not samples."""
    for node in filter(is_function, file.proto.graph.node):
        raise UnsupportedOpError(
            f"{node.op_type} is of a network of trained neurons, which is not split",
            node=node.name,
            hint="train a network without the nodes that stop it: snn-compile check names them",
        )


def _output_shapes(flow: Flow, values: Values) -> dict[str, Shape]:
    """Return the shape of one sample of each output, by its name.

    Raises:
        UnsupportedOpError: One cannot be taken apart by samples, or is named twice.
    """
    shapes: dict[str, Shape] = {}
    for output in flow.outputs:
        shape = values.shape(output)
        if output not in flow.makers and output not in flow.samples:
            raise UnsupportedOpError(
                "is an output of the model, and does not depend on its inputs",
                node=output,
                hint="remove the output, with onnx.utils.extract_model for instance",
            )
        if shape is None:
            raise UnsupportedOpError(
                "is an output of the model, and its first axis is not known to be the batch "
                "axis",
                node=output,
                hint="export the model with fixed shapes and a dynamic batch axis",
            )
        if output in shapes:
            raise UnsupportedOpError(
                "is an output of the model twice",
                node=output,
                hint="export the model with each output once",
            )
        shapes[output] = shape
    return shapes


def _require_few_elements(file: ModelFile, values: Values, flow: Flow) -> None:
    """Refuse a model whose values would take too much memory on the host."""
    total = 0
    for value in flow.makers:
        total += math.prod(values.one.shape(value) or ())
        if total > file.limits.elements:
            raise ImportModelError(
                f"makes {total} elements of one sample, with those before it; "
                f"{file.limits.elements} are supported for all nodes together",
                node=flow.makers[value].name,
                hint="use a smaller input, or raise the limit with --max-elements",
            )
