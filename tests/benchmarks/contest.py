"""Interleaved timing: every contender has a turn in every round, so all share the machine.

Each round begins with another contender, so that none is always first. A rate is samples per
second of one turn. Figures are medians over the rounds; the ratio of two contenders is the
median of the ratios within each round, which a machine that is busy for a while disturbs less
than either rate. CPU time, of all threads together, is disturbed least.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from machine import write


@dataclass
class Contender:
    """What is measured.

    Attributes:
        name: For the table.
        samples: In one call of ``run``.
        run: Runs them once.
        note: For the table: what was chosen for it.
        rates: Samples per second, one of each round.
        cpu_s: CPU time of a sample, likewise; empty where another process does the work.
    """

    name: str
    samples: int
    run: Callable[[], Any]
    note: str = ""
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Samples per second."""
        return statistics.median(self.rates)

    def ratio(self, base: Contender) -> float:
        """Return how many times faster this is than ``base``, from one round to the other."""
        pairs = zip(self.rates, base.rates, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def cpu_ratio(self, base: Contender) -> float:
        """Return the same in CPU time."""
        return statistics.median(base.cpu_s) / statistics.median(self.cpu_s)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Turns of each contender.
        turn_s: Least duration of a turn, in seconds; short runs are repeated within it.
    """

    rounds: int = 5
    turn_s: float = 0.4


def race(contenders: Sequence[Contender], effort: Effort) -> None:
    """Measure all contenders; each keeps its rates."""
    calls = {}
    for contender in contenders:
        contender.run()
        took = seconds(contender.run)
        calls[contender.name] = max(1, math.ceil(effort.turn_s / max(took, 1e-9)))
    for turn in range(effort.rounds):
        first = turn % max(1, len(contenders))
        for contender in (*contenders[first:], *contenders[:first]):
            number = calls[contender.name]
            contender.run()  # what the others have put out of the caches, ours included
            began, samples = time.process_time(), number * contender.samples
            contender.rates.append(samples / seconds(contender.run, number))
            contender.cpu_s.append((time.process_time() - began) / samples)


def shares(contenders: Sequence[Contender]) -> list[float]:
    """Return how fast each contender is beside the median of all in the same round."""
    rounds = zip(*(one.rates for one in contenders), strict=True)
    medians = [statistics.median(rates) for rates in rounds]
    return [
        statistics.median(
            rate / middle for rate, middle in zip(one.rates, medians, strict=True)
        )
        for one in contenders
    ]


def seconds(run: Callable[[], Any], calls: int = 1) -> float:
    """Return how long some calls take together."""
    began = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - began


def fastest(candidates: Iterable[Contender]) -> Contender:
    """Return the candidate with the highest rate in one run each, after a short first one."""
    best, best_rate = None, 0.0
    for candidate in candidates:
        took = seconds(candidate.run)
        if took < 1:
            took = seconds(candidate.run)
        if candidate.samples / took > best_rate:
            best, best_rate = candidate, candidate.samples / took
    if best is None:
        raise ValueError("no candidates")
    return best


def table(contenders: list[Contender], bases: list[Contender]) -> str:
    """Return the results as a Markdown table with one column of ratios for each base."""
    heads = "".join(f" x {base.name} |" for base in bases)
    is_timed = all(row.cpu_s for row in contenders)
    cpu = " CPU ms a sample |" if is_timed else ""
    lines = [
        f"| | samples/s | lowest to highest |{heads}{cpu} |",
        f"|---|--:|--:|{'--:|' * (len(bases) + is_timed)}---|",
    ]
    for row in contenders:
        cells = [
            row.name,
            significant(row.median),
            f"{significant(min(row.rates))} to {significant(max(row.rates))}",
            *(significant(row.ratio(base)) for base in bases),
            *([significant(1000 * statistics.median(row.cpu_s))] if is_timed else []),
            row.note,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_data(contenders: list[Contender]) -> list[dict[str, Any]]:
    """Return the results for a JSON file."""
    return [
        {
            "name": row.name,
            "note": row.note,
            "median": row.median,
            "rates": row.rates,
            "cpu_s": row.cpu_s,
        }
        for row in contenders
    ]


def significant(value: float) -> str:
    """Return three significant digits without an exponent."""
    if value == 0:
        return "0"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def load() -> str:
    """Return the average load of the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def report_progress(text: str) -> None:
    """Tell what is running."""
    write(f"... {text}, load {load()}\n")
