"""The command ``snn-compile``: reads arguments, prints, and turns errors into exit codes.

All work is done by `toolchain.pipeline`, which is imported once arguments are understood, so
that ``--help`` is there at once. A model file called ``run`` is given as ``./run``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from toolchain import __version__
from toolchain.errors import CompileError, InputDataError

if TYPE_CHECKING:
    from toolchain.pipeline import Progress
    from toolchain.report import Report

DONE, BUG, REFUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done, our mistake, the user's, a broken promise of the ladder, and Control-C."""

_DESCRIPTION = """\
Compile a trained network from ONNX to a spiking network, and check every stage
against the one before. 'snn-compile run --help' is about runs."""
_NAMED = (
    ("--target", "loihi2", "TARGETS", "targets"),
    ("--lowering", "auto", "MAPPINGS", "toolchain.mapping"),
    ("--method", "mmse", "METHODS", "toolchain.conversion"),
)
_EXIT_CODES = """\
exit codes:
  0  done
  1  a bug in snn-compile
  2  the model cannot be compiled as asked; the message says why
  3  a rung of the ladder broke its promise"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments without the command's name; `None` for those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    is_run = words[:1] == ["run"]
    arguments = _run_parser().parse_args(words[1:]) if is_run else _parse_compile(words)
    try:
        return _run(arguments) if is_run else _compile(arguments)
    except CompileError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if arguments.debug or os.environ.get("SNN_COMPILE_DEBUG"):
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        print(f"internal error: {what}; this is a bug, --debug shows where", file=sys.stderr)
        return BUG


def _compile(arguments: argparse.Namespace) -> int:
    from toolchain.build_folder import default_folder
    from toolchain.pipeline import Options, compile_model
    from toolchain.report import as_json

    arguments.output = arguments.output or default_folder(arguments.model, arguments.target)
    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: getattr(arguments, name) for name in names})
    # With --json the standard output is one JSON document.
    text_to = sys.stderr if arguments.json else sys.stdout
    with _progress(is_quiet=arguments.quiet) as progress:
        report = compile_model(
            options, progress=progress, dump=lambda text: _show(text, text_to)
        )
    if arguments.json:
        _show(json.dumps(as_json(report), indent=2, allow_nan=False))
    elif not arguments.quiet:
        _show(_summary(report, arguments.output))
    return DONE if report.is_kept else BROKEN


def _summary(report: Report, folder: Path) -> str:
    from rich.console import Console

    from toolchain.reporting.summary import summarize

    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(summarize(report, folder))
    return capture.get().rstrip("\n")


def _run(arguments: argparse.Namespace) -> int:
    from toolchain import execution
    from toolchain.data import load_samples, save_outputs

    samples = load_samples(arguments.input, None, labelled=None)
    with _progress(is_quiet=False) as progress:
        if arguments.network.is_file():
            if arguments.engine is not None:
                raise InputDataError("--engine is for builds", node=str(arguments.network))
            result = execution.run_network_file(arguments.network, samples, progress=progress)
        else:
            engine = arguments.engine or "count"
            run = execution.run_build
            result = run(arguments.network, samples, engine=engine, progress=progress)
    if arguments.output is not None:
        save_outputs(arguments.output, result.y)
    _show(f"engine {result.engine}: {len(samples)} samples in {result.seconds:.2f} s")
    if result.metric is not None:
        _show(f"right: {result.metric:.2%}")
    if arguments.output is not None:
        _show(f"written: {arguments.output}")
    return DONE


def _show(text: str, stream: TextIO | None = None) -> None:
    """Print a text; who read it may have left, which is no failure."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def _parse_compile(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="snn-compile",
        usage="snn-compile MODEL.onnx [option ...]\n"
        "       snn-compile run BUILD_OR_NETWORK --input X.npz [option ...]",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="the trained network")
    for option, default, table, package in _NAMED:
        known = f"{_known(table, package)} (default: {default})"
        add(option, default=default, metavar="NAME", help=known)
    add(
        "--reparameterization",
        default="exact",
        metavar="NAME",
        help="exact, or uniform to measure what the LM-HT paper's way changes",
    )
    add(
        "--calibration",
        type=Path,
        metavar="X.npz",
        help="samples 'x' that set the thresholds (default: calibration.npz beside the model)",
    )
    add(
        "--test",
        type=Path,
        metavar="X.npz",
        help="samples 'x' and labels 'y' that the stages are compared on",
    )
    add(
        "--levels",
        type=_levels,
        default=15,
        metavar="N|auto",
        help="largest spike count of a neuron per window (default: 15)",
    )
    add(
        "--format",
        dest="formats",
        type=_names,
        metavar="NAME,...",
        help=_known("FORMATS", "targets.formats") + " (default: the target's)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the build, replaced as a whole (default: build/MODEL-TARGET)",
    )
    add("--dump-after", metavar="PASS", help="print the network as it is after this pass")
    add("--json", action="store_true", help="print report.json instead of the summary")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--debug", action="store_true", help="show the traceback of a bug")
    add("--version", action="version", version=f"snn-compile {__version__}")
    return parser.parse_args(words)


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snn-compile run",
        description="Run a finished build, or a netx file, on samples.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("network", type=Path, metavar="BUILD_OR_NETWORK", help="a build folder or a netx file")
    add("--input", type=Path, required=True, metavar="X.npz", help="samples 'x', labels 'y'")
    known = _known("ENGINES", "targets.engines") + " (default for a build: count)"
    add("--engine", metavar="NAME", help=known)
    add("--output", type=Path, metavar="Y.npz", help="file for the model's outputs 'y'")
    add("--debug", action="store_true", help="show the traceback of a bug")
    return parser


def _levels(word: str) -> int | None:
    if word == "auto":
        return None
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is neither 'auto' nor a number above 0")
    return int(word)


def _names(word: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in word.split(",")))
    if "" in names:
        raise argparse.ArgumentTypeError(f"{word!r} is not a list of names")
    return names


def _known(table: str, package: str) -> str:
    """Return the names that the modules of a package register, found in their sources.

    Importing them, as the registries do, would keep ``--help`` waiting for numpy and more.
    """
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    sources = sorted(file for folder in folders for file in Path(folder).glob("*.py"))
    register = re.compile(rf'\b{table}\.register\("([^"]+)"\)')
    names = [name for file in sources for name in register.findall(file.read_text("utf-8"))]
    return ", ".join(sorted(names))


@contextlib.contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Progress]:
    """Give the function that the pipeline tells how far it is."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console

    from toolchain.reporting.progress import progress_bars

    with progress_bars(Console(stderr=True)) as progress:
        yield progress
