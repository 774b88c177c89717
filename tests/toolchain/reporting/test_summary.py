"""The summary says all that was found on one screen, in words, on any terminal."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from toolchain.report import LayerReport, LoweringReport, Report, Rung
from toolchain.reporting.summary import LAYERS_MAX, summarize

MEASURED = {"samples": 1000, "metric": 0.932, "agreement": 0.9812, "max_abs_error": 3.25e-5}
LADDER = (
    Rung(rung="onnxruntime", promise="reference", status="ok", samples=1000, metric=0.932,
         agreement=1.0),
    Rung(rung="imported", promise="within 0.0001", status="ok", **MEASURED),
    Rung(rung="converted", promise="lossy by design", status="ok", **MEASURED),
    Rung(rung="lowered", promise="exact", status="ok", **MEASURED),
    Rung(rung="quantized", promise="lossy by design", status="ok", **MEASURED),
    Rung(rung="count", promise="exact", status="ok", **MEASURED),
    Rung(rung="step", promise="exact", status="ok", samples=512, agreement=1.0, metric=0.9,
         max_abs_error=0.0, why="512 of 1000 samples in 120 s"),
    Rung(rung="netx", promise="exact", status="skipped", why="lava-dl is not installed"),
    Rung(rung="lava", promise="exact", status="ok", samples=4, metric=1.0, agreement=1.0,
         max_abs_error=0.0),
)  # fmt: skip
LAYER = LayerReport(
    name="relu1",
    shape=(16, 28, 28),
    neurons=12544,
    bound="proved",
    weight_bits=8,
    isolated_error=0.0123,
    cumulative_error=0.0345,
    silent=0.1,
    saturated=0.01,
    firing_rate=0.12,
)
LOWERING = LoweringReport(
    name="temporal",
    is_chosen=True,
    time_steps=92,
    period=92,
    periods={"sequential": 92, "pipelined": 48},
    neurons=20394,
    synapses=3123456,
    spikes_per_sample=12345.67,
    needs_program=False,
    fits=True,
)
REPORT = Report(
    model={"name": "garments", "sha256": "0123456789abcdef" * 4},
    target="loihi2",
    lowering="temporal",
    method="mmse",
    levels=15,
    windows=1,
    schedule="pipelined",
    time_steps=92,
    period=48,
    periods={"sequential": 92, "pipelined": 48},
    nodes={"in": 9, "accounted": 9},
    neurons=20394,
    synapses=3123456,
    spikes_per_sample=12345.67,
    synaptic_operations_per_sample=2345678.9,
    saturations=0,
    ladder=LADDER,
    layers=tuple(dataclasses.replace(LAYER, name=f"relu{number}") for number in range(1, 5)),
    lowerings=(
        dataclasses.replace(LOWERING, name="radix", is_chosen=False, needs_program=True),
        dataclasses.replace(
            LOWERING,
            name="spatial",
            is_chosen=False,
            neurons=1305910,
            synapses=44848350079575,
            fits=False,
        ),
        LOWERING,
    ),
    warnings=("thresholds are guesses: there are no calibration samples",),
    assumptions=("a synaptic current can be held without any decay",),
    files=("circuit.npz", "graph.npz", "options.json", "report.json"),
)


def printed(report, width=100, **options):
    """Return what a console prints."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, **options)
    console.print(summarize(report, Path("build/garments-loihi2")))
    return stream.getvalue()


def words(text):
    """Return a text without line breaks."""
    return " ".join(text.split())


@pytest.mark.parametrize("width", [100, 80])
def test_the_summary_is_this_text(golden, width):
    lines = [line.rstrip() for line in printed(REPORT, width).splitlines()]

    golden(f"text/summary_{width}.txt", "\n".join(lines) + "\n")


def test_four_layers_fit_on_one_screen():
    lines = printed(REPORT).splitlines()

    assert len(lines) <= 40
    assert max(len(line) for line in lines) <= 100


def test_a_single_lowering_is_compared_with_nothing():
    text = printed(dataclasses.replace(REPORT, lowerings=(LOWERING,)))

    assert "worked out" not in text


def test_a_log_file_gets_neither_colours_nor_other_letters():
    text = printed(REPORT)

    assert "\x1b" not in text
    assert text.isascii()


def test_a_terminal_gets_colours_and_the_same_words():
    text = printed(REPORT, force_terminal=True, color_system="standard", no_color=False)

    assert "\x1b[32mok" in text
    assert "\x1b[33mskipped" in text


def test_a_narrow_terminal_loses_no_number():
    text = printed(REPORT, width=60)

    for number in ("93.20%", "98.12%", "3.25e-05", "12,544", "12,345.7", "2,345,678.9", "1.3M"):
        assert number in words(text)


def test_a_broken_promise_is_named_with_its_place():
    broken = Rung(
        rung="lava",
        promise="exact",
        status="broken",
        samples=4,
        first_difference="population 'relu1', neuron (3,), sample 2",
        why="it differs",
    )
    text = words(printed(dataclasses.replace(REPORT, ladder=(*LADDER[:-1], broken))))

    assert (
        "lava: it differs; first difference: population 'relu1', neuron (3,), sample 2" in text
    )
    assert text.endswith("broken promise: lava")


def test_a_place_that_the_reason_names_is_not_named_twice():
    broken = dataclasses.replace(
        LADDER[-1], status="broken", first_difference="here", why="it differs here"
    )

    text = words(printed(dataclasses.replace(REPORT, ladder=(broken,))))

    assert "lava: it differs here" in text
    assert "first difference" not in text


def test_rungs_that_did_not_run_are_not_passed_over():
    assert words(printed(REPORT)).endswith("every promise kept; not run: netx")


def test_saturations_are_told():
    text = printed(dataclasses.replace(REPORT, saturations=1234))

    assert "counted in all: 1,234 saturations" in text


def test_what_was_not_counted_is_not_a_number():
    text = printed(
        dataclasses.replace(REPORT, spikes_per_sample=None, synaptic_operations_per_sample=None)
    )

    assert "spikes and synaptic operations were not counted" in text


def test_of_many_populations_the_worst_are_shown_in_order():
    layers = tuple(
        dataclasses.replace(LAYER, name=f"relu{number}", cumulative_error=number / 1000)
        for number in range(100, 130)
    )

    text = printed(dataclasses.replace(REPORT, layers=layers))

    shown = [line.split()[0] for line in text.splitlines() if line.startswith("relu")]
    assert shown == [f"relu{number}" for number in range(130 - LAYERS_MAX, 130)]
    assert "18 populations with smaller errors: report.json" in text


def test_a_network_without_populations_has_no_table_of_them():
    assert "population" not in printed(dataclasses.replace(REPORT, layers=()))


def test_names_that_look_like_markup_are_printed_as_they_are():
    layer = dataclasses.replace(LAYER, name="[red]relu[/red]")

    assert "[red]relu[/red]" in printed(dataclasses.replace(REPORT, layers=(layer,)))


def test_names_cannot_steer_the_terminal():
    layer = dataclasses.replace(LAYER, name="relu\x1b[2J\x07")
    model = {"name": "net\x1b]0;owned\x07", "sha256": "0" * 64}

    text = printed(dataclasses.replace(REPORT, layers=(layer,), model=model))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "relu?[2J?" in text
