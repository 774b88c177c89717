"""``snn-compile run``: a finished build, or a network file of another tool, on samples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.commands.console import (
    comma_separated,
    progress_shown,
    registered,
    show,
    show_rich,
)
from toolchain.errors import InputDataError
from toolchain.exit_codes import DONE, EPILOG

if TYPE_CHECKING:
    from rich.table import Table

    from toolchain.evaluation.piece_result import Tally
    from toolchain.execution import RunResult, Workers

_TRACING = ("registers", "samples", "populations", "neurons")


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="snn-compile run",
        description="Run a finished build, or a netx file, on samples.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("network", type=Path, metavar="BUILD_OR_NETWORK", help="a build folder or a netx file")
    add(
        "--input",
        type=Path,
        required=True,
        metavar="X.npz",
        help="samples 'x', labels 'y'; for a build also a folder of such files",
    )
    known = registered("ENGINES", "targets.engines") + " (default for a build: count)"
    add("--engine", metavar="NAME", help=known)
    add(
        "--output",
        type=Path,
        metavar="Y.npz",
        help="file or folder for the model's outputs 'y'",
    )
    add("--workers", type=_workers, metavar="N", help="processes that share the samples")
    add(
        "--cluster",
        metavar="ADDRESS",
        help="Ray cluster of the workers (default: this machine)",
    )
    trace = parser.add_argument_group("traces of single spikes and registers")
    add = trace.add_argument
    add("--trace", type=Path, metavar="T.npz", help="trace, and write it to this file")
    add(
        "--registers",
        type=comma_separated,
        metavar="R,...",
        help="spikes, u, v (default: spikes)",
    )
    add("--samples", type=_numbers, metavar="0,3-5", help="samples to trace (default: all)")
    add(
        "--populations",
        type=comma_separated,
        metavar="NAME,...",
        help="populations (default: all)",
    )
    add("--neurons", type=_numbers, metavar="0,3-5", help="neurons of each (default: all)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run, print what was counted, and return the exit code."""
    from toolchain import execution
    from toolchain.build_folder import is_partial

    if arguments.trace is not None:
        if is_partial(arguments.network):
            hint = "trace a segment, on samples of what it reads: segments/1-chip of the build"
            _require_none(arguments, ("trace",), "is for builds of one piece", hint)
        return _trace(arguments)
    _require_none(arguments, _TRACING, "is for --trace")
    with progress_shown(is_quiet=False) as progress:
        if _is_file(arguments.network):
            _require_none(arguments, ("engine", "workers", "cluster"), "is for builds")
            result = execution.run_network_file(
                arguments.network, arguments.input, output=arguments.output, progress=progress
            )
        elif is_partial(arguments.network):
            hint = "leave it out: one process runs the segments, one after the other"
            _require_none(arguments, ("workers", "cluster"), "is for builds of one piece", hint)
            from toolchain.partial.running import run_partial

            result = run_partial(
                arguments.network,
                arguments.input,
                engine=arguments.engine or "count",
                output=arguments.output,
                progress=progress,
            )
        else:
            result = execution.run_build(
                arguments.network,
                arguments.input,
                engine=arguments.engine or "count",
                workers=_crew_of(arguments),
                output=arguments.output,
                progress=progress,
            )
    _show_result(result)
    if arguments.output is not None:
        show(f"written: {arguments.output}")
    return DONE


def _is_file(path: Path) -> bool:
    """Tell whether a path is a file's; one that is longer than any is no file's."""
    try:
        return path.is_file()
    except OSError:
        return False


def _show_result(result: RunResult) -> None:
    from toolchain.ir.clipping import describe_clipping

    tally = result.tally
    samples = _counted(tally.samples, "sample")
    show(f"engine {result.engine}: {samples} in {result.seconds:.2f} s")
    if tally.metric is not None:
        show(f"right: {tally.metric:.2%}, {tally.right} of {tally.answers}")
    if tally.spikes is not None:
        show(f"spikes: {tally.spikes}")
    if tally.synaptic_operations is not None:
        show(f"synaptic operations: {tally.synaptic_operations}")
    if tally.populations:
        show_rich(_population_table(tally))
    for sentence in describe_clipping(tally.clippings):
        show(f"warning: {sentence}", sys.stderr)


def _population_table(tally: Tally) -> Table:
    """Return what each population sent, by window if there are several, and all else."""
    from rich.text import Text

    from toolchain.reporting.summary import empty_table, plain

    table = empty_table(("population",), ("spikes", "synaptic operations"))
    has_windows = any(len(one.spikes) > 1 for one in tally.populations)
    if has_windows:
        table.add_column("spikes by window")
    for one in tally.populations:
        windows = " + ".join(map(str, one.spikes)) if len(one.spikes) > 1 else ""
        cells = (plain(one.name), str(sum(one.spikes)), str(one.synaptic_operations), windows)
        table.add_row(*map(Text, cells[: len(table.columns)]))
    spikes = sum(sum(one.spikes) for one in tally.populations)
    operations = sum(one.synaptic_operations for one in tally.populations)
    rest = ((tally.spikes or 0) - spikes, (tally.synaptic_operations or 0) - operations)
    table.add_row("inputs and constants", *map(str, rest))
    return table


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _crew_of(arguments: argparse.Namespace) -> Workers | None:
    from toolchain.execution import Workers

    if arguments.workers is not None:
        return Workers(arguments.workers, arguments.cluster)
    if arguments.cluster is not None:
        raise InputDataError(
            "--cluster is where workers run, and there are none",
            node=arguments.cluster,
            hint="say how many with --workers",
        )
    return None


def _trace(arguments: argparse.Namespace) -> int:
    from toolchain import execution
    from toolchain.engine import Selection
    from toolchain.evaluation.outputs import require_place
    from toolchain.evaluation.traces import save_traces

    _require_none(arguments, ("output", "workers", "cluster"), "does not go with --trace")
    require_place(arguments.trace, arguments.input)
    selection = Selection(
        registers=arguments.registers or ("spikes",),
        populations=arguments.populations or (),
        neurons=arguments.neurons or (),
    )
    with progress_shown(is_quiet=False) as progress:
        traces = execution.trace_build(
            arguments.network,
            arguments.input,
            selection,
            samples=arguments.samples or (),
            engine=arguments.engine or "step",
            progress=progress,
        )
    save_traces(arguments.trace, traces, selection, arguments.samples or ())
    show(f"traced: {', '.join(selection.registers)} of {_counted(len(traces), 'population')}")
    show(f"written: {arguments.trace}")
    return DONE


def _require_none(
    arguments: argparse.Namespace, options: tuple[str, ...], why: str, hint: str | None = None
) -> None:
    """Refuse options that mean nothing here."""
    for option in options:
        if getattr(arguments, option) is not None:
            raise InputDataError(f"--{option} {why}", node=str(arguments.network), hint=hint)


def _numbers(word: str) -> tuple[int, ...]:
    """Read ``0,3-5`` as the numbers 0, 3, 4 and 5."""
    numbers: set[int] = set()
    for part in word.split(","):
        first, _, last = (end.strip() for end in part.partition("-"))
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"{word!r} is no list of numbers, as 0,3-5 is")
        numbers.update(range(int(first), int(last) + 1))
    return tuple(sorted(numbers))


def _workers(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of workers above 0")
    return int(word)
