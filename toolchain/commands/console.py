"""What the commands share of the terminal: text, progress, and names for ``--help``."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress: TypeAlias = Callable[[str, int, int], None]

MODEL_LIMITS = (
    ("--max-bytes", 2**31 - 1, "largest model, with its weights"),
    ("--max-nodes", 20_000, "nodes of the model"),
    ("--max-elements", 2**27, "elements of all values of one sample together"),
)
"""What a stranger's model may ask for; a test compares the defaults with the frontend's."""


def show(text: str, stream: TextIO | None = None) -> None:
    """Print a text; who read it may have left, which is no failure."""
    stream = stream or sys.stdout
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_rich(content: RenderableType) -> None:
    """Print what `rich` lays out, as wide as the terminal; lines end without blanks."""
    from rich.console import Console

    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(content)
    show("\n".join(map(str.rstrip, capture.get().splitlines())))


@contextlib.contextmanager
def progress_shown(*, is_quiet: bool) -> Iterator[Progress]:
    """Give the function that the pipeline tells how far it is."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console

    from toolchain.reporting.progress import progress_bars

    with progress_bars(Console(stderr=True)) as progress:
        yield progress


def registered(table: str, package: str) -> str:
    """Return the names that the modules of a package register, found in their sources.

    Importing them, as the registries do, would keep ``--help`` waiting for numpy and more.
    """
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or []
    sources = sorted(file for folder in folders for file in Path(folder).glob("*.py"))
    register = re.compile(rf'\b{table}\.register\("([^"]+)"\)')
    names = [name for file in sources for name in register.findall(file.read_text("utf-8"))]
    return ", ".join(sorted(names))


def comma_separated(word: str) -> tuple[str, ...]:
    """Read the names in an argument, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in word.split(",")))
    if "" in names:
        raise argparse.ArgumentTypeError(f"{word!r} is not a list of names")
    return names


def add_limits(
    parser: argparse.ArgumentParser, limits: Sequence[tuple[str, int, str]] = MODEL_LIMITS
) -> None:
    """Let a command ask for limits, each an option with its default and what it limits."""
    for option, largest, what in limits:
        about = f"{what} (default: {largest})"
        parser.add_argument(option, type=above_zero, default=largest, metavar="N", help=about)


def above_zero(word: str) -> int:
    """Read a whole number above 0."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number above 0")
    return int(word)
