"""``snn-compile ops``: the operators that are supported, and under which conditions."""

from __future__ import annotations

import argparse

from toolchain.commands.console import show
from toolchain.exit_codes import DONE


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    return argparse.ArgumentParser(
        prog="snn-compile ops",
        description="List the supported operators and their conditions, as Markdown.",
    )


def run(_: argparse.Namespace) -> int:
    """Print the page and return the exit code."""
    from toolchain.ops import describe_operators

    show(describe_operators().rstrip("\n"))
    return DONE
