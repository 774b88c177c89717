"""``snn-compile explain CODE``: what an error means, why it is so, and the ways out."""

from __future__ import annotations

import argparse

from toolchain.commands.console import show
from toolchain.exit_codes import DONE


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="snn-compile explain",
        description="Say what an error means, why it is so on this hardware, and the ways out.",
    )
    parser.add_argument(
        "code", nargs="?", metavar="CODE", help="as in the message: SNN-RANGE; none lists all"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation, or the list, and return the exit code."""
    from toolchain.reporting.explanations import explanation_of, explanations

    if arguments.code is not None:
        show(explanation_of(arguments.code).text)
        return DONE
    for explanation in explanations():
        show(f"{explanation.code:15} {explanation.meaning}")
    return DONE
