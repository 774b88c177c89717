"""Measure what single-threshold neurons lose in trained networks (the paper's table 2).

    python tests/benchmarks/lmht_reparameterization.py RUNS [--samples 10000] [--compiled 50]
        [--threads 1] [--only GLOB]

RUNS is a folder of runs, as `lmht_reproduction.py` or `snn-train` leaves them. Of every network
with several levels, on its test set, in float64:

- `before`: accuracy of the network as it was trained;
- `ours`: with neurons of one threshold that integrate a window, then fire, step by step;
- `theirs`: with the current of a window spread evenly over its steps, the paper's theorem A.2;
- `counts` and `answers`: how many of a million spike counts (windows of neurons), and which
  percentage of samples, differ with the paper's way.

Each network is compiled, too, and the first `--compiled` test images go through all rungs of
the ladder: `chip` says whether the network of one threshold, count mode and the circuit with
every register kept what they promise, which is that not a spike differs. Runs that differ in
their seed alone share a row. What was measured is kept in RUNS.

Requires: `pip install 'snn-compile[train]'`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolchain.options import Options
from toolchain.pipeline import compile_model
from toolchain.training.checkpoint import load_checkpoint
from toolchain.training.datasets import Dataset, load_dataset
from toolchain.training.export import export_network
from toolchain.training.loop import BEST
from toolchain.training.network import Network
from toolchain.training.neuron import MultiThreshold
from toolchain.training.single_threshold import WAYS, compare, with_single_thresholds

BATCH = 500


def main() -> None:
    """Measure every run, and print a table."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in sorted(arguments.runs.glob(arguments.only)):
        if (folder / BEST).exists() and is_of_several_levels(folder):
            rows[re.sub(r"-\d+$", "", folder.name)].append(known(folder, arguments))
    write("| network | before | ours | differs | theirs | differs | counts | answers | chip |")
    write("|---|---|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        write(line(name, found))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--compiled", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="*")
    return parser.parse_args()


def is_of_several_levels(folder: Path) -> bool:
    network = load_checkpoint(folder / BEST).network
    return any(isinstance(m, MultiThreshold) and m.levels > 1 for m in network.modules())


def known(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a network, or return what is known of it."""
    kept = folder / f"reparameterization-{arguments.samples}-{arguments.compiled}.json"
    if not kept.exists():
        checkpoint = load_checkpoint(folder / BEST)
        dataset = load_dataset(checkpoint.recipe.data)
        found = measured(checkpoint.network, dataset, arguments.samples)
        if arguments.compiled:
            found |= compiled(checkpoint.network, dataset, arguments.compiled)
        kept.write_text(json.dumps(found))
        write(f"{folder.name}: {found}", sys.stderr)
    return dict(json.loads(kept.read_text()))


def measured(network: Network, dataset: Dataset, samples: int) -> dict[str, Any]:
    """Return accuracies, and shares of counts and answers that differ."""
    network = network.double().eval()
    networks = {"before": network} | {way: with_single_thresholds(network, way) for way in WAYS}
    x, y = dataset.test_x[:samples], dataset.test_y[:samples]
    totals: dict[str, float] = defaultdict(float)
    for start in range(0, len(x), BATCH):
        part, labels = (torch.tensor(a[start : start + BATCH]) for a in (x, y))
        found = compare(network, networks, part.double())
        answers = found["before"].logits.argmax(dim=1)
        for way, one in found.items():
            theirs = one.logits.argmax(dim=1)
            totals[way] += int((theirs == labels).sum())
            totals[f"{way} answers"] += int((theirs != answers).sum())
            totals[f"{way} differing"] += one.differing
            totals[f"{way} counts"] += one.counts
    shares = {name: value / len(x) for name, value in totals.items() if "counts" not in name}
    for way in WAYS:
        shares[f"{way} differing"] = totals[f"{way} differing"] / totals[f"{way} counts"]
    return shares


def compiled(network: Network, dataset: Dataset, samples: int) -> dict[str, Any]:
    """Compile, and return what the rungs of the ladder promise and keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_network(network, folder / "model.onnx")
        np.savez(folder / "calibration.npz", x=dataset.train_x[:256])
        parts = {"x": dataset.test_x[:samples], "y": dataset.test_y[:samples]}
        np.savez(folder / "test.npz", **parts)
        report = compile_model(
            Options(
                model=folder / "model.onnx",
                test=folder / "test.npz",
                lowering="temporal",
                formats=("twin",),
                output=folder / "build",
            )
        )
    return {"rungs": {rung.rung: rung.status for rung in report.ladder}}


def line(name: str, found: list[dict[str, Any]]) -> str:
    """Return a row: means and spreads over the seeds, in percent."""

    def mean(key: str) -> str:
        values = np.array([100 * row[key] for row in found])
        return f"{values.mean():.2f} ± {values.std():.2f}"

    def difference(way: str) -> str:
        values = np.array([100 * (row[way] - row["before"]) for row in found])
        return f"{values.mean():+.2f} ± {values.std():.2f}"

    changed = 1e6 * np.mean([row["uniform differing"] for row in found])
    answers = 100 * np.mean([row["uniform answers"] for row in found])
    differing = sum(row["exact differing"] + row["exact answers"] for row in found)
    rungs = [rung for row in found for rung in row.get("rungs", {}).items()]
    broken = sorted({name for name, status in rungs if status != "ok"})
    cells = [
        name,
        mean("before"),
        mean("exact"),
        difference("exact") if differing else "0.00",
        mean("uniform"),
        difference("uniform"),
        f"{changed:.1f}",
        f"{answers:.3f}",
        f"broken: {', '.join(broken)}" if broken else "equal" if rungs else "not compiled",
    ]
    return f"| {' | '.join(cells)} |"


def write(text: str, stream: Any = None) -> None:
    """Write a line."""
    (stream or sys.stdout).write(f"{text}\n")


if __name__ == "__main__":
    main()
