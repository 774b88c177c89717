"""How the count engine's rate grows with levels, windows, batch, width, depth and input size.

    python tests/benchmarks/growth.py [--of levels batch ...] [--json FILE] [--page]

All rows of a table have turns in every round, in one process, beside onnxruntime on the
float32 network of the same size. Turns are short and rounds many: what disturbs a machine for
a while disturbs all rows of a round. Levels and batches change one network; width, depth and
size build others. Whether the rate is the same for all levels is a goal (`goals.evenness`).
The count engine does without OpenVINO, which it else might choose for some rows alone.
Windows are those of LM-HT neurons: the source network's rectifiers are exchanged for
neurons of several windows that cannot be merged into one. Each reads itself and the earlier
ones: T windows have T (T + 1) / 2 times the multiplications of one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine, restrict_to, write

CALIBRATION = 64


@dataclass(frozen=True)
class Point:
    """One row: a network and how it is run."""

    label: str
    network: str
    batch: int = 64
    levels: int = 15
    windows: int = 1


def points(subject: str, network: str) -> Iterator[Point]:
    """Return the rows of a table."""
    for value in VALUES[subject]:
        label, number = f"{value:g}", int(value)
        if subject == "levels":
            yield Point(label, network, levels=number)
        elif subject == "windows":
            yield Point(label, f"{network}:width=0.25", levels=4, windows=number)
        elif subject == "batch":
            yield Point(label, network, batch=number)
        else:
            yield Point(label, f"{network}:{subject}={label}")


VALUES: dict[str, tuple[float, ...]] = {
    "levels": (1, 4, 15, 63, 255),
    "windows": (1, 2, 4),
    "batch": (1, 8, 32, 64, 256),
    "width": (0.125, 0.25, 0.5, 1),
    "depth": (1, 2, 3),
    "side": (32, 64),
}


def main() -> None:
    arguments = read_arguments()
    restrict_to(arguments.threads)
    sys.modules["openvino"] = None  # type: ignore[assignment]
    from page import rewrite

    machine = describe_machine(arguments.threads)
    write(f"{machine}\n")
    found = {subject: measure(subject, arguments) for subject in arguments.of}
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1))
    if arguments.page:
        tables = "\n".join(one["table"] for one in found.values())
        rewrite("growth", f"{machine}\n\n{tables}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--of", nargs="+", choices=list(VALUES), default=list(VALUES))
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--turn", type=float, default=0.1, help="least seconds of a turn")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    return parser.parse_args()


def measure(subject: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one table."""
    from contest import Effort, load, race, report_progress

    rows = []
    for point in points(subject, arguments.network):
        report_progress(f"{subject} {point.label}: compiling {point.network}")
        rows.append((point, *contenders(point, arguments.threads)))
    before = load()
    race([one for row in rows for one in row[2:]], Effort(arguments.rounds, arguments.turn))
    text = table(subject, rows, f"load {before} before and {load()} after")
    text += goal(rows) if subject == "levels" else ""
    write(text)
    data = [
        {"point": vars(point), "float": base.rates, "count": ours.rates}
        for point, _, base, ours in rows
    ]
    return {"table": text, "rows": data}


def contenders(point: Point, threads: int) -> tuple[float, Any, Any]:
    """Return the millions of multiplications, onnxruntime float32 and the count engine."""
    import ours
    import runtimes
    from networks import build, count_multiplications, draw_samples, read_network

    network = read_network(point.network)
    model = build(network)
    x = draw_samples(network, max(point.batch, CALIBRATION), seed=2)
    graph = ours.imported(model)
    if point.windows > 1:
        graph = ours.with_windows(graph, x[:CALIBRATION], point.levels, point.windows)
    program = ours.compiled(graph, x[:CALIBRATION], levels=point.levels, lowering="temporal")
    batch = x[: point.batch]
    base = runtimes.onnxruntime_float(model, batch, threads)
    count = ours.counting(program, batch)
    base.name, count.name = f"float {point}", f"count {point}"
    return count_multiplications(model) / 1e6, base, count


def table(subject: str, rows: list[Any], load: str) -> str:
    """Return a Markdown table."""
    from contest import significant

    point = rows[0][0]
    fixed = {"network": point.network, "batch": point.batch, "levels": point.levels}
    fixed.pop(subject, None)
    if subject not in ("levels", "batch", "windows"):
        fixed["network"] = point.network.partition(":")[0]
    shown = ", ".join(
        f"{value} {name}" if name == "levels" else f"{name} {value}"
        for name, value in fixed.items()
    )
    lines = [
        f"**{subject}** ({shown}; {load})\n",
        f"| {subject} | M multiplications | onnxruntime float32/s | count engine/s | "
        "lowest to highest | ratio |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for point, multiplications, base, count in rows:
        cells = (
            point.label,
            significant(multiplications),
            significant(base.median),
            significant(count.median),
            f"{significant(min(count.rates))} to {significant(max(count.rates))}",
            significant(count.ratio(base)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def goal(rows: list[Any]) -> str:
    """Return how even the rates are, and whether they are as even as they were to be."""
    from contest import shares, significant
    from goals import HEAD, evenness

    labels, counts = [point.label for point, *_ in rows], [row[-1] for row in rows]
    beside = zip(shares(counts), labels, strict=True)
    listed = ", ".join(f"{significant(share)} at {label}" for share, label in beside)
    title = f"{rows[0][0].network}: slowest / fastest of {', '.join(labels)} levels"
    return (
        f"\nBeside the median of its round, each runs at {listed}.\n\n"
        f"{HEAD}{evenness(title, counts)}\n"
    )


if __name__ == "__main__":
    main()
