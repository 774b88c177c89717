"""What runs have measured, in the layout of the paper's tables 1 and 2.

Accuracy, synaptic operations and energy are those that the paper gives. What its monitor leaves
out stands beside them in columns of its own: multiply-accumulates of mixing and of the layers
that read the sample, and the energy of everything.

Source: LM-HT (Hao et al., NeurIPS 2024), tables 1 and 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from toolchain.errors import TrainingError

METRICS = "metrics.json"
"""Name of the file in which a run keeps what was measured."""

Row: TypeAlias = tuple[str, ...]

_MEASURED = (
    ("accuracy, %", "accuracy", 1e2, 2),
    ("SOPs, M", "synaptic_operations", 1e-6, 4),
    ("E, µJ", "energy_j", 1e6, 3),
    ("mixing, M", "mixing_operations", 1e-6, 4),
    ("first layer, M", "input_operations", 1e-6, 4),
    ("E of all, µJ", "energy_with_all_j", 1e6, 3),
)
"""Column, key, factor and decimals."""

_WAYS = {
    "before": "before",
    "exact": "after, integrate then fire",
    "uniform": "after, evenly spread",
}


def tables(runs: Sequence[Path]) -> str:
    """Return the tables of finished runs, as Markdown.

    Args:
        runs: Folders of runs.

    Raises:
        TrainingError: A folder holds no finished run of this version.
    """
    found = [(run.name, _metrics(run)) for run in runs]
    ablation = [
        (name, *_network(metrics), *_numbers(_flat(metrics))) for name, metrics in found
    ]
    lines = _markdown(("run", "network", "L", "T", "mixing", *_titles()), ablation)
    changed = [
        (name, *_steps(way, metrics), *_numbers(measured), f"{measured['differing']:.4%}")
        for name, metrics in found
        for way, measured in metrics.get("reparameterization", {}).items()
    ]
    if changed:
        titles = ("run", "neurons", "L", "T", *_titles(), "counts that differ")
        lines += ["", *_markdown(titles, changed)]
    return "\n".join(lines)


def _metrics(run: Path) -> dict[str, Any]:
    path = run / METRICS
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _network(metrics), _flat(metrics)
    except OSError:
        raise TrainingError("there is no finished run", node=str(run)) from None
    except (ValueError, KeyError, TypeError):
        raise TrainingError(
            "is not what a run of this version measures", node=str(path), hint="train again"
        ) from None
    return metrics


def _network(metrics: Mapping[str, Any]) -> Row:
    network = metrics["network"]
    return tuple(str(network[key]) for key in ("name", "levels", "windows", "mixing"))


def _flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {"accuracy": metrics["test_accuracy"], **metrics["operations_per_sample"]}


def _steps(way: str, metrics: Mapping[str, Any]) -> Row:
    network = metrics["network"]
    levels, windows = network["levels"], network["windows"]
    if way == "before":
        return _WAYS[way], str(levels), str(windows)
    return _WAYS[way], "1", str(levels * windows)


def _numbers(measured: Mapping[str, float]) -> Row:
    return tuple(
        f"{measured[key] * factor:.{decimals}f}" for _, key, factor, decimals in _MEASURED
    )


def _titles() -> Row:
    return tuple(title for title, *_ in _MEASURED)


def _markdown(titles: Row, rows: Iterable[Row]) -> list[str]:
    lines = [titles, ("---",) * len(titles), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
