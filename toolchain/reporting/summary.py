"""The report as one screen of a terminal: what was lost where, what it takes, what was written.

Statuses are words, with a colour where the terminal has any, and all text is plain ASCII but
for names of the user's, so that a log file or a narrow terminal reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolchain.report import Energy, LayerReport, LoweringReport, Report, Rung
from toolchain.schedule import PIPELINED

LAYERS_MAX = 12
"""Populations in the table; of more, those with the largest errors are shown."""

_STYLES = {"ok": "green", "broken": "bold red", "skipped": "yellow"}
_NOTHING = "-"


def summarize(report: Report, folder: Path) -> RenderableType:
    """Return what the command prints.

    Args:
        report: Of the compilation.
        folder: Where the build is.
    """
    return Group(
        *_imported(report),
        Text(),
        ladder_table(report.ladder),
        Text("agrees: with the answers of onnxruntime; max error: against the rung above"),
        *ladder_notes(report.ladder),
        Text(),
        *_layers(report.layers),
        *_costs(report),
        *_lowerings(report.lowerings),
        *(_marked("warning: ", sentence, "yellow") for sentence in report.warnings),
        *(_marked("assumed: ", sentence, "") for sentence in report.assumptions),
        _marked("written: ", f"{plain(str(folder))}: {', '.join(report.files)}", ""),
        _verdict(report),
    )


def _imported(report: Report) -> Iterator[Text]:
    nodes = report.nodes
    yield Text.assemble(
        (plain(report.model["name"]), "bold"), f" for {plain(report.target)}", style="default"
    )
    yield Text(
        f"sha256 {report.model['sha256'][:12]}, {nodes['in']} ONNX nodes, "
        f"{nodes['accounted']} accounted for"
    )
    windows = f", {report.windows} windows" if report.windows > 1 else ""
    yield Text(
        f"{report.lowering} lowering, method {report.method}, {report.levels} levels{windows}"
    )


def ladder_table(rungs: tuple[Rung, ...]) -> Table:
    """Return one row for each rung."""
    table = empty_table(
        ("rung", "promise", "status"), ("samples", "right", "agrees", "max error")
    )
    for rung in rungs:
        table.add_row(
            Text(plain(rung.rung)),
            Text(plain(rung.promise)),
            Text(rung.status, style=_STYLES[rung.status]),
            Text(str(rung.samples) if rung.samples else _NOTHING),
            percent(rung.metric),
            percent(rung.agreement),
            _number(rung.max_abs_error),
        )
    return table


def ladder_notes(rungs: tuple[Rung, ...]) -> Iterator[RenderableType]:
    """Say why, for each rung that has something to say."""
    for rung in rungs:
        parts = [rung.why]
        if rung.first_difference and rung.first_difference not in rung.why:
            parts.append(f"first difference: {rung.first_difference}")
        note = "; ".join(part for part in parts if part)
        if note:
            yield _marked(f"{plain(rung.rung)}: ", note, _STYLES[rung.status])


def _layers(layers: tuple[LayerReport, ...]) -> Iterator[RenderableType]:
    if not layers:
        return
    shown = _worst(layers)
    table = empty_table(
        ("population", "bound"), ("neurons", "bits", "isolated", "cumulative", "rate")
    )
    for layer in shown:
        table.add_row(
            Text(plain(layer.name)),
            Text(layer.bound),
            Text(f"{layer.neurons:,}"),
            Text(str(layer.weight_bits)),
            percent(layer.isolated_error),
            percent(layer.cumulative_error),
            percent(layer.firing_rate),
        )
    yield table
    yield Text("isolated, cumulative: relative RMS error of activations; rate: firing rate")
    if len(shown) < len(layers):
        yield Text(f"{len(layers) - len(shown)} populations with smaller errors: report.json")
    yield Text()


def _worst(layers: tuple[LayerReport, ...]) -> tuple[LayerReport, ...]:
    """Return at most `LAYERS_MAX` populations, those with the largest errors, in order."""
    ranked = sorted(layers, key=lambda layer: layer.cumulative_error or 0.0, reverse=True)
    kept = {layer.name for layer in ranked[:LAYERS_MAX]}
    return tuple(layer for layer in layers if layer.name in kept)


def _costs(report: Report) -> Iterator[Text]:
    yield Text(f"{report.neurons:,} neurons, {report.synapses:,} synapses")
    others = (
        f"{name}: {steps:,}"
        for name, steps in report.periods.items()
        if name != report.schedule
    )
    yield Text(
        f"{report.time_steps:,} time steps to the answer; {report.schedule}, "
        f"a new sample every {report.period:,} ({', '.join(others)})"
    )
    if report.spikes_per_sample is None or report.synaptic_operations_per_sample is None:
        yield Text("spikes and synaptic operations were not counted")
        return
    yield Text(
        f"counted per sample: {report.spikes_per_sample:,.1f} spikes, "
        f"{report.synaptic_operations_per_sample:,.1f} synaptic operations"
    )
    if report.energy is not None:
        yield Text(_energy(report.energy))
    if report.reparameterization is not None:
        yield Text(_residue(report.reparameterization))
    if report.saturations:
        yield Text(f"counted in all: {report.saturations:,} saturations", style="yellow")


def _lowerings(lowerings: tuple[LoweringReport, ...]) -> Iterator[RenderableType]:
    """Compare the lowerings where there is a choice."""
    if len(lowerings) < 2:
        return
    table = empty_table(("lowering",), ("steps", "pipelined", "neurons", "synapses", "spikes"))
    table.add_column("needs", overflow="fold")
    for row in lowerings:
        needs = ["neuron programs"] * row.needs_program + ["several chips"] * (not row.fits)
        table.add_row(
            Text(f"{row.name}, chosen" if row.is_chosen else row.name),
            Text(f"{row.time_steps:,}"),
            Text(f"{row.periods[PIPELINED]:,}"),
            _short(row.neurons),
            _short(row.synapses),
            _short(row.spikes_per_sample),
            Text(", ".join(needs) or _NOTHING),
        )
    yield Text()
    yield table
    yield Text("steps: to the answer, and to the next sample unless it is pipelined")
    yield Text("synapses and spikes: worked out from the integers of the chosen lowering")


def _residue(found: dict[str, Any]) -> str:
    """Say what the published reparameterization would have changed."""
    counts = sum(layer["counts"] for layer in found["layers"])
    differ = sum(layer["counts"] * layer["cumulative"] for layer in found["layers"])
    return (
        f"the uniform reparameterization would change {differ / max(counts, 1):.3%} of spike "
        f"counts and {found['answers']:.2%} of answers"
    )


def _energy(energy: Energy) -> str:
    """Say what a sample costs by the model, and who wins."""
    ours, theirs = energy.network_j * 1e6, energy.source_j * 1e6
    verdict = "more than" if ours > theirs else "against"
    return (
        f"modelled per sample: {ours:.3g} uJ, {verdict} {theirs:.3g} uJ for the source network "
        "(arithmetic alone)"
    )


def _verdict(report: Report) -> Text:
    broken = [rung.rung for rung in report.ladder if rung.status == "broken"]
    if broken:
        return Text(f"broken promise: {plain(', '.join(broken))}", style=_STYLES["broken"])
    skipped = [rung.rung for rung in report.ladder if rung.status == "skipped"]
    if skipped:
        return Text(f"every promise kept; not run: {plain(', '.join(skipped))}")
    return Text("every promise kept")


def empty_table(words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    """Return an empty table with left-aligned columns, then right-aligned ones."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in words:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _marked(mark: str, sentence: str, style: str) -> RenderableType:
    """Return a sentence behind a mark, its further lines indented."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=style), Text(plain(sentence)))
    return grid


def percent(share: float | None) -> Text:
    """Return a share in percent; a dash if it is not known."""
    return Text(_NOTHING if share is None else f"{share:.2%}")


def _short(value: float) -> Text:
    """Return a number in at most seven letters: the larger ones in millions and so on."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= size:
            return Text(f"{value / size:,.1f}{unit}")
    return Text(f"{value:,.0f}")


def _number(value: float | None) -> Text:
    return Text(_NOTHING if value is None else f"{value:.3g}")


def plain(text: str) -> str:
    """Return text that cannot steer the terminal: names in a model are a stranger's."""
    lines = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in lines)
