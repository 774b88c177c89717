"""``snn-compile doctor``: what is installed, what can run here, and what to mend."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolchain.commands.console import show
from toolchain.exit_codes import DONE, STOPPED

if TYPE_CHECKING:
    from toolchain.environment import Environment

_EXIT_CODES = """\
exit codes:
  0  nothing has to be mended; what is optional may be absent
  4  something has to be mended; the last lines say what"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="snn-compile doctor",
        description="Say what is installed and what can run here, and what has to be mended.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print what is here and return the exit code."""
    from toolchain.environment import examine

    environment = examine()
    if arguments.json:
        show(json.dumps(dataclasses.asdict(environment), indent=2))
    else:
        show("\n".join(_lines(environment)))
    return STOPPED if environment.problems else DONE


def _lines(here: Environment) -> Iterator[str]:
    yield f"snn-compile {here.version}, Python {here.python}, {here.system}"
    yield ""
    for package in here.packages:
        version = package.version or "-"
        yield f"{package.name:12} {version:12} {package.purpose}"
    yield ""
    for name, why in here.engines.items():
        yield f"engine {name:12} {'runs here' if why is None else f'cannot run: {why}'}"
    yield ""
    extensions = ", ".join(here.extensions) if here.extensions is not None else "not readable"
    yield f"processor    {here.cores} cores; {extensions or 'no vector extensions known'}"
    yield f"GPU          {here.gpu or 'none that torch can use'}"
    yield ""
    yield from (f"to mend: {problem}" for problem in here.problems)
    if not here.problems:
        yield "nothing has to be mended"
