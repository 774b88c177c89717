"""``snn-compile check MODEL.onnx``: what compiles, what does not, why, and what to do."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.commands.console import above_zero, add_limits, registered, show, show_rich
from toolchain.exit_codes import DONE, STOPPED

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from toolchain.checking import Check
    from toolchain.checking.findings import Capacity, Obstacle
    from toolchain.partial.outlook import Outlook

_NAMED_MAX = 5
_EXIT_CODES = """\
exit codes:
  0  the model compiles, as far as can be told without samples
  1  a bug in snn-compile
  2  the file is no model that can be read; the message says why
  4  something stops the model; the last lines say what, and what to do"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="snn-compile check",
        description="Say what becomes of each node of a model, and what stops it. No samples\n"
        "are needed, and nothing is compiled.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="the trained network")
    known = f"{registered('TARGETS', 'targets')} (default: loihi2)"
    add("--target", default="loihi2", metavar="NAME", help=known)
    add(
        "--levels",
        type=above_zero,
        default=15,
        metavar="N",
        help="largest spike count of a neuron per window (default: 15)",
    )
    add(
        "--tagged",
        type=Path,
        metavar="OUT.onnx",
        help="write a copy of the model whose nodes carry the verdicts, for Netron",
    )
    add_limits(parser)
    add("--json", action="store_true", help="print one JSON document")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check, print what was found, write what was asked for and return the exit code."""
    from toolchain.checking import check_model
    from toolchain.checking.tagging import write_tagged
    from toolchain.limits import Limits
    from toolchain.partial.outlook import outlook_of

    asked = {
        "target": arguments.target,
        "levels": arguments.levels,
        "limits": Limits(
            model_bytes=arguments.max_bytes,
            nodes=arguments.max_nodes,
            elements=arguments.max_elements,
        ),
    }
    check = check_model(arguments.model, **asked)
    outlook: Outlook | str = ""
    if not check.compiles:
        names = tuple(node.name for node in check.nodes)
        outlook = outlook_of(arguments.model, **asked, nodes=names)
    if arguments.tagged is not None:
        write_tagged(check, arguments.model, arguments.tagged)
    if arguments.json:
        show(json.dumps(_document(check, outlook), indent=2, allow_nan=False))
    else:
        show_rich(_page(check, outlook))
        if arguments.tagged is not None:
            show(f"written: {arguments.tagged}")
    return DONE if check.compiles else STOPPED


def _document(check: Check, outlook: Outlook | str) -> dict[str, Any]:
    return {
        "compiles": check.compiles,
        "counts": check.counts,
        "share_of_nodes": check.share_of_nodes,
        "multiply_accumulates": check.multiply_accumulates,
        "share_of_multiply_accumulates": check.share_of_multiply_accumulates,
        "partial": None if isinstance(outlook, str) else dataclasses.asdict(outlook),
        **dataclasses.asdict(check),
    }


def _page(check: Check, outlook: Outlook | str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(
        *map(Text, _head(check)),
        Text(),
        _nodes(check),
        Text(),
        *map(Text, _foot(check, outlook)),
    )


def _head(check: Check) -> Iterator[str]:
    yield f"{check.model['name']} for {check.target}"
    counts = ", ".join(f"{count} {verdict}" for verdict, count in check.counts.items() if count)
    yield f"{len(check.nodes)} ONNX nodes: {counts}"
    share, all_of_them = check.share_of_multiply_accumulates, check.multiply_accumulates
    of_work = (
        "shapes of some are not known" if all_of_them and share is None else "there are none"
    )
    if share is not None:
        of_work = f"{share:.1%} of {all_of_them:,}"
    yield f"on chip: {check.share_of_nodes:.1%} of the nodes"
    yield f"multiply-accumulates on chip: {of_work}"


def _nodes(check: Check) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="none")
    for title in ("node", "operator", "verdict"):
        table.add_column(Text(title), overflow="fold")
    for node in check.nodes:
        into = f" into {node.into}" if node.into else ""
        stage = f" at {node.why.stage}" if node.why else ""
        cells = (node.name, node.operator, f"{node.verdict}{into}{stage}")
        table.add_row(*map(Text, cells))
    return table


def _foot(check: Check, outlook: Outlook | str) -> Iterator[str]:
    if check.capacity is not None:
        yield from _capacity(check.capacity)
    yield from (f"note: {note}" for note in check.notes)
    grouped: dict[tuple[str, str, str, str], list[Obstacle]] = {}
    for found in check.obstacles:
        key = (found.stage, found.problem, found.fix, found.code)
        grouped.setdefault(key, []).append(found)
    for (stage, problem, fix, code), alike in grouped.items():
        names = [repr(found.node) for found in alike if found.node is not None]
        more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
        where = f" at {', '.join(names[:_NAMED_MAX])}{more}" if names else ""
        yield f"stopped: {stage}{where}: {problem}"
        yield f"  fix: {fix}"
        is_left = not isinstance(outlook, str) and all(
            outlook.runs(found.node) for found in alike
        )
        if is_left and "--partial" not in fix:
            yield "  or: let the host run it, with --partial"
        yield f"  more: snn-compile explain {code}"
    if isinstance(outlook, str):
        if outlook:
            yield f"--partial is no way out: {outlook}"
    else:
        yield (
            f"with --partial, the host runs {_counted(len(outlook.host), 'node')} and "
            f"{outlook.share_of_multiply_accumulates:.1%} of the multiply-accumulates stay on "
            f"chip, in {_counted(outlook.chip_segments, 'segment')}"
        )
    yield f"{check.model['name']} compiles" if check.compiles else "something stops this model"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _capacity(capacity: Capacity) -> Iterator[str]:
    yield (
        f"{capacity.lowering} lowering, {capacity.levels} levels: {capacity.neurons:,} neurons "
        f"for {capacity.units:,} units, of {capacity.neurons_available:,} on one chip"
    )
    yield (
        f"{capacity.connections:,} connections, at most {capacity.fan_in:,} into one unit "
        "(without copies)"
    )
