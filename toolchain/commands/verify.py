"""``snn-compile verify DIR``: is a finished build what it was, and does every stage agree?"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.commands.console import comma_separated, progress_shown, show, show_rich
from toolchain.exit_codes import BROKEN, DONE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from toolchain.build_verification import BuildVerification, FileFinding

_EXIT_CODES = """\
exit codes:
  0  all files are as they were written, and every rung that ran kept its promise
  1  a bug in snn-compile
  2  the folder is no build that can be read, or the samples do not fit; the
     message says why
  3  a file was changed or is missing, or a rung broke its promise"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="snn-compile verify",
        description="Check a finished build: its files against what was written and against\n"
        "what its graph gives, and with --data every stage on samples.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("build", type=Path, metavar="DIR", help="the build folder; nothing in it is changed")
    add("--data", type=Path, metavar="X.npz", help="samples 'x', labels 'y' if there are any")
    add(
        "--rungs",
        type=comma_separated,
        metavar="NAME,...",
        help="rungs to run: onnxruntime, imported, approximated, converted, lowered, "
        "quantized, count, step, or an engine that runs a written file (default: all)",
    )
    add(
        "--tolerance",
        type=_tolerance,
        metavar="E",
        help="largest error of the imported network, relative to its largest output "
        "(default: 0.0001, or 0.01 of models in float16); exact rungs have none",
    )
    add("--model", type=Path, metavar="MODEL.onnx", help="where the source model is now")
    add("--json", action="store_true", help="print one JSON document")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Verify, print what was found and return the exit code."""
    from toolchain.build_folder import is_partial
    from toolchain.build_verification import verify_build
    from toolchain.partial.verifying import verify_partial
    from toolchain.report import as_json

    verify = verify_partial if is_partial(arguments.build) else verify_build
    with progress_shown(is_quiet=arguments.json) as progress:
        found = verify(
            arguments.build,
            arguments.data,
            rungs=arguments.rungs,
            tolerance=arguments.tolerance,
            model=arguments.model,
            progress=progress,
        )
    if arguments.json:
        held = {"is_kept": found.is_kept, **as_json(found)}
        show(json.dumps(held, indent=2, allow_nan=False))
    else:
        show_rich(_page(found))
    return DONE if found.is_kept else BROKEN


def _page(found: BuildVerification) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from toolchain.reporting.summary import ladder_notes, ladder_table

    lines = map(Text, _files(found.files))
    if not found.ladder:
        return Group(*lines)
    return Group(*lines, Text(), ladder_table(found.ladder), *ladder_notes(found.ladder))


def _files(findings: tuple[FileFinding, ...]) -> Iterator[str]:
    sound = sum(finding.status == "ok" for finding in findings)
    yield f"{sound} of {len(findings)} files are as they were written"
    for finding in findings:
        if finding.status != "ok" or finding.why:
            yield f"{finding.name}: {finding.status}; {finding.why}"


def _tolerance(word: str) -> float:
    try:
        tolerance = float(word)
    except ValueError:
        tolerance = math.nan
    if not 0 < tolerance < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number above 0")
    return tolerance
