"""The command ``snn-compile``: reads arguments, prints, and turns errors into exit codes.

All work is done by `toolchain.pipeline`, which is imported once arguments are understood, so
that ``--help`` is there at once. The commands beside the compiler are modules of
`toolchain.commands`. A model file that is called as one of those is given as ``./run``.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from toolchain import __version__
from toolchain.commands.console import (
    MODEL_LIMITS,
    add_limits,
    comma_separated,
    progress_shown,
    registered,
    show,
    show_rich,
)
from toolchain.errors import CompileError
from toolchain.exit_codes import BROKEN, BUG, DONE, EPILOG, INTERRUPTED, REFUSED

COMMANDS = {
    "check": "say which nodes of a model compile, and what stops the others",
    "doctor": "say what is installed, and what can run here",
    "explain": "say what an error means, and the ways out",
    "ops": "list the supported operators",
    "run": "run a finished build, or a netx file, on samples",
    "verify": "check a finished build: its files, and every stage on samples",
}
"""What ``snn-compile NAME`` does, by name."""

_LIMITS = (
    *MODEL_LIMITS,
    ("--max-seconds", 3600, "time that all of it may take"),
)
"""What a stranger's file may ask for; a test compares the defaults with the pipeline's."""

_DESCRIPTION = """\
Compile a trained network from ONNX to a spiking network, and check every stage
against the one before."""
_Work: TypeAlias = Callable[[argparse.Namespace], int]
_NAMED = (
    ("--target", "loihi2", "TARGETS", "targets"),
    ("--lowering", "auto", "MAPPINGS", "toolchain.mapping"),
    ("--method", "mmse", "METHODS", "toolchain.conversion"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments without the command's name; `None` for those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments, work = _understood(words)
    try:
        return work(arguments)
    except CompileError as error:
        show(f"{error}\n  more: snn-compile explain {error.code}", sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        show("interrupted", sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if arguments.debug or os.environ.get("SNN_COMPILE_DEBUG"):
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        show(f"internal error: {what}; this is a bug, --debug shows where", sys.stderr)
        return BUG


def _understood(words: list[str]) -> tuple[argparse.Namespace, _Work]:
    """Return the arguments, and what is to be done with them."""
    name = words[0] if words else ""
    if name not in COMMANDS:
        return _parse_compile(words), _compile
    command = importlib.import_module(f"toolchain.commands.{name}")
    parser: argparse.ArgumentParser = command.parser()
    parser.add_argument("--debug", action="store_true", help="show the traceback of a bug")
    return parser.parse_args(words[1:]), command.run


def _compile(arguments: argparse.Namespace) -> int:
    from toolchain.build_folder import default_folder
    from toolchain.options import Options
    from toolchain.partial.compilation import compile_partial
    from toolchain.partial.summary import summary_of
    from toolchain.pipeline import compile_model
    from toolchain.report import as_json

    arguments.output = arguments.output or default_folder(arguments.model, arguments.target)
    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: getattr(arguments, name) for name in names})
    # With --json the standard output is one JSON document.
    text_to = sys.stderr if arguments.json else sys.stdout
    compile_it = compile_partial if arguments.partial else compile_model
    with progress_shown(is_quiet=arguments.quiet) as progress:
        report = compile_it(options, progress=progress, dump=lambda text: show(text, text_to))
    if arguments.json:
        show(json.dumps(as_json(report), indent=2, allow_nan=False))
    elif not arguments.quiet:
        show_rich(summary_of(report, arguments.output))
    return DONE if report.is_kept else BROKEN


def _parse_compile(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="snn-compile",
        usage="snn-compile MODEL.onnx [option ...]\n       snn-compile COMMAND ...",
        description=_DESCRIPTION,
        epilog=f"{_commands()}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="the trained network")
    for option, default, table, package in _NAMED:
        known = f"{registered(table, package)} (default: {default})"
        add(option, default=default, metavar="NAME", help=known)
    add(
        "--schedule",
        default="auto",
        metavar="NAME",
        help="sequential, or pipelined to let a sample in before the last one has left "
        "(default: auto, as the lowering needs)",
    )
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
        help="samples 'x', labels 'y' if there are any, that stages are compared on",
    )
    add(
        "--levels",
        type=_levels,
        default=15,
        metavar="N|auto",
        help="largest spike count of a neuron per window (default: 15)",
    )
    add(
        "--pieces",
        type=int,
        default=5,
        metavar="N",
        help="straight pieces of a smooth activation, as Tanh or Gelu (default: 5)",
    )
    add(
        "--format",
        dest="formats",
        type=comma_separated,
        metavar="NAME,...",
        help=registered("FORMATS", "targets.formats") + " (default: the target's)",
    )
    add(
        "--partial",
        action="store_true",
        help="let the host run nodes that cannot be spikes, between segments on the chip",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the build, replaced as a whole (default: build/MODEL-TARGET)",
    )
    add_limits(parser, _LIMITS)
    add("--dump-after", metavar="PASS", help="print the network as it is after this pass")
    add("--json", action="store_true", help="print report.json instead of the summary")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--debug", action="store_true", help="show the traceback of a bug")
    add("--version", action="version", version=f"snn-compile {__version__}")
    return parser.parse_args(words)


def _commands() -> str:
    lines = [f"  {name:8} {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(["commands, each with a --help of its own:", *lines])


def _levels(word: str) -> int | None:
    if word == "auto":
        return None
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is neither 'auto' nor a number above 0")
    return int(word)
