"""What the engines are to reach against the others, and what they did reach.

A goal is reached if the median of the ratios within the rounds is, and the ratio of the highest
rates is, too: work beside the benchmark slows simulators of many small steps more than others,
and must not help us. One goal is no ratio to others: the rate has to be the same whatever the
number of levels.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from contest import Contender, shares, significant

COUNT, MEASURED, TRACES = "count engine,", "count engine and operations,", "complete traces"
FLOAT, INT8 = "onnxruntime float32", "onnxruntime int8"
SIMULATORS = ("SpikingJelly", "snnTorch", "Norse", "sinabs")


@dataclass(frozen=True)
class Goal:
    """A ratio of two rates in one comparison.

    Attributes:
        network: Its text form.
        batch: Of the comparison.
        ours: How the contender's name begins.
        base: How the names of those it is compared with begin; the fastest of them counts.
        least: The ratio.
        steps: Time steps of contenders that step, 0 for the others.
        in_openvino: Whether it is meant for the count engine with OpenVINO.
    """

    network: str
    batch: int
    ours: str
    base: tuple[str, ...]
    least: float
    steps: int = 0
    in_openvino: bool = False


GOALS = (
    Goal("vgg16", 64, COUNT, (FLOAT,), 3.7),
    Goal("vgg16", 64, COUNT, (INT8,), 0.95),
    Goal("vgg16", 1, COUNT, (FLOAT,), 2.5),
    Goal("resnet18", 64, COUNT, (FLOAT,), 2.4),
    Goal("resnet18", 64, COUNT, (FLOAT,), 3.5, in_openvino=True),
    Goal("lenet", 64, COUNT, (FLOAT,), 1.1),
    Goal("lenet", 64, COUNT, (FLOAT,), 2.5, in_openvino=True),
    Goal("vgg16", 64, COUNT, ("SpikingJelly, 8 steps",), 35),
    Goal("vgg16", 64, COUNT, ("SpikingJelly, 32 steps",), 140),
    *(Goal(name, 64, MEASURED, (COUNT,), 0.75) for name in ("lenet", "vgg16", "resnet18")),
    *(
        Goal(name, 64, TRACES, tuple(f"{peer}, {steps} steps" for peer in SIMULATORS), 2, steps)
        for name in ("lenet", "vgg16", "resnet18")
        for steps in (8, 32)
    ),
)


def reached(network: str, batch: int, contenders: list[Contender]) -> list[str]:
    """Return a row of a Markdown table for each goal that the contenders can answer."""
    rows = []
    for goal in GOALS:
        if (goal.network, goal.batch) != (network, batch):
            continue
        if goal.in_openvino and not any(one.name.startswith("OpenVINO") for one in contenders):
            continue
        ours = [one for one in contenders if _is_ours(one, goal)]
        bases = [one for one in contenders if one.name.startswith(goal.base)]
        if not ours or not bases:
            continue
        fastest = max(bases, key=lambda one: max(one.rates))
        ratio = ours[0].ratio(fastest)
        undisturbed = max(ours[0].rates) / max(fastest.rates)
        verdict = "reached" if min(ratio, undisturbed) >= goal.least else "**missed**"
        rows.append(
            f"| {network}, batch {batch}: {ours[0].name} / {fastest.name} | {goal.least:g} | "
            f"{significant(ratio)} | {significant(undisturbed)} | "
            f"{significant(ours[0].cpu_ratio(fastest))} | {verdict} |"
        )
    return rows


LEVELS_LEAST = 0.9
"""What the lowest rate of one network with different levels is to be beside the highest."""


def evenness(title: str, contenders: Sequence[Contender]) -> str:
    """Return a row that says whether contenders are as fast as one another.

    Each is compared with the median of its round, and these medians with one another. The
    lowest and the highest of a single round differ even where one contender runs many times.
    """
    measures = (
        shares(contenders),
        [max(one.rates) for one in contenders],
        [1 / statistics.median(one.cpu_s) for one in contenders],
    )
    ratio, undisturbed, cpu = (min(values) / max(values) for values in measures)
    verdict = "reached" if min(ratio, undisturbed) >= LEVELS_LEAST else "**missed**"
    return (
        f"| {title} | {LEVELS_LEAST:g} | {significant(ratio)} | {significant(undisturbed)} | "
        f"{significant(cpu)} | {verdict} |"
    )


def _is_ours(contender: Contender, goal: Goal) -> bool:
    levels = f"{goal.ours}, {goal.steps} levels" if goal.steps else goal.ours
    return contender.name.startswith(levels)


HEAD = "| goal | at least | median | best rounds | CPU time | |\n|---|--:|--:|--:|--:|---|\n"
