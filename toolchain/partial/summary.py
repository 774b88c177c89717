"""A build in segments as one screen of a terminal: what runs where, and what goes between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolchain.partial.findings import Crossing, PartialReport, SegmentFindings
from toolchain.report import Report
from toolchain.reporting.summary import (
    empty_table,
    ladder_notes,
    ladder_table,
    percent,
    plain,
    summarize,
)

_NOTHING = "-"
_OPERATORS_MAX = 4


def summary_of(report: PartialReport | Report, folder: Path) -> RenderableType:
    """Return what the command prints of a compilation, in segments or not.

    Args:
        report: Of the compilation.
        folder: Where the build is.
    """
    if isinstance(report, Report):
        return summarize(report, folder)
    return summarize_partial(report, folder)


def summarize_partial(report: PartialReport, folder: Path) -> RenderableType:
    """Return what the command prints.

    Args:
        report: Of the compilation.
        folder: Where the build is.
    """
    return Group(
        *map(Text, _head(report)),
        Text(),
        _segments(report.segments),
        Text(),
        _crossings(report.crossings),
        Text("isolated, cumulative: relative RMS error of what comes back"),
        *map(Text, _traffic(report)),
        Text(),
        ladder_table(report.ladder),
        Text("split: the segments on the host; chain: the segments where they belong"),
        *ladder_notes(report.ladder),
        *(Text(f"warning: {plain(sentence)}") for sentence in report.warnings),
        *(Text(f"assumed: {plain(sentence)}") for sentence in report.assumptions),
        Text(f"written: {plain(str(folder))}: {len(report.files)} files; {_builds(report)}"),
        Text(_verdict(report)),
    )


def _head(report: PartialReport) -> Iterator[str]:
    chips = sum(segment.place == "chip" for segment in report.segments)
    yield f"{plain(report.model['name'])} for {report.target}, in segments"
    yield (
        f"sha256 {report.model['sha256'][:12]}, {chips} {_segment(chips)} on the chip, "
        f"{len(report.segments) - chips} on the host"
    )
    yield (
        f"on the chip: {report.share_of_multiply_accumulates:.1%} of multiply-accumulates, "
        f"{report.share_of_nodes:.1%} of nodes"
    )


def _segments(segments: tuple[SegmentFindings, ...]) -> Table:
    table = empty_table(("segment", "operators"), ("nodes", "share", "neurons", "steps"))
    for segment in segments:
        chip = segment.chip
        table.add_row(
            Text(segment.name),
            Text(_operators(segment.operators)),
            Text(str(len(segment.nodes))),
            percent(segment.share),
            Text(_NOTHING if chip is None else f"{chip.neurons:,}"),
            Text(_NOTHING if chip is None else f"{chip.time_steps:,}"),
        )
    return table


def _operators(operators: tuple[str, ...]) -> str:
    counted = Counter(operators).most_common()
    shown = [f"{count} {name}" for name, count in counted[:_OPERATORS_MAX]]
    more = len(counted) - _OPERATORS_MAX
    return plain(", ".join(shown) + (f" and {more} more" if more > 0 else ""))


def _crossings(crossings: tuple[Crossing, ...]) -> Table:
    table = empty_table(
        ("segment", "", "value"), ("elements", "bits", "bytes", "isolated", "cumulative")
    )
    for crossing in crossings:
        table.add_row(
            Text(crossing.segment),
            Text(crossing.direction),
            Text(plain(crossing.tensor)),
            Text(f"{crossing.values:,}"),
            Text(str(crossing.bits)),
            Text(f"{crossing.bytes_per_sample:,}"),
            percent(crossing.isolated_error),
            percent(crossing.cumulative_error),
        )
    return table


def _traffic(report: PartialReport) -> Iterator[str]:
    both = report.bytes_to_chip + report.bytes_to_host
    yield (
        f"per sample: {report.bytes_to_chip:,} bytes to the chip and {report.bytes_to_host:,} "
        f"back, {both:,} in all"
    )
    chips = [segment.chip for segment in report.segments if segment.chip is not None]
    spikes = sum(chip.spikes_per_sample or 0 for chip in chips)
    operations = sum(chip.synaptic_operations_per_sample or 0 for chip in chips)
    yield f"counted per sample: {spikes:,.1f} spikes, {operations:,.1f} synaptic operations"


def _builds(report: PartialReport) -> str:
    names = [segment.name for segment in report.segments if segment.chip is not None]
    own = "is a build of its own" if len(names) == 1 else "are builds of their own"
    return f"segments/{', '.join(names)} {own}"


def _segment(count: int) -> str:
    return "segment" if count == 1 else "segments"


def _verdict(report: PartialReport) -> str:
    broken = [rung.rung for rung in report.ladder if rung.status == "broken"]
    broken += [s.name for s in report.segments if s.chip is not None and not s.chip.is_kept]
    return f"broken promise: {', '.join(broken)}" if broken else "every promise kept"
