"""Measure the claims of LM-HT on Fashion-MNIST or MNIST, at sizes that train in minutes.

    python tests/benchmarks/lmht_reproduction.py ablation|hybrid FOLDER --out OUT
        [--data fashion-mnist|mnist] [--size small|medium|deep|conv|resnet|ms-resnet|large]
        [--seeds 3] [--threads 1]

FOLDER holds the idx files of the data set (the Debian package `dataset-fashion-mnist` puts
those of Fashion-MNIST under `/usr/share/datasets/fashion-mnist`). Every run has a folder in
OUT, which is for one data set; those that are finished are not run again, and a table of means
and spreads over the seeds is printed at the end.

- `ablation` (the paper's table 1): levels, windows and mixing of directly trained networks.
- `hybrid` (table 4): networks fine-tuned from a QCFS network against the plain conversion of
  the same QCFS network, integrate-and-fire neurons over as many steps.

`large` is for a GPU; the others train in minutes on one or two threads.

The best epoch is chosen on held-out training images; the test set is looked at once a run.

Requires: `pip install 'snn-compile[train]'`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolchain.training.checkpoint import load_checkpoint
from toolchain.training.datasets import Dataset, load_dataset
from toolchain.training.hybrid import convert_to_neurons
from toolchain.training.loop import BEST, accuracy, evaluate, train
from toolchain.training.monitor import count_operations
from toolchain.training.network import Network
from toolchain.training.recipe import Recipe, recipe_of
from toolchain.training.samples import Part

VALIDATION = 2_000
COUNTED = 200

DIRECT = {"epochs": 6, "batch": 128, "learning_rate": 0.003}
SOURCE = {"epochs": 8, "batch": 128, "learning_rate": 0.003}
TUNING = {"epochs": 3, "batch": 128, "learning_rate": 0.0005}
ABLATION = (
    (1, 4, "diagonal"), (1, 4, "full"), (2, 2, "diagonal"), (2, 2, "uniform"),
    (2, 2, "lower"), (2, 2, "full"), (4, 1, "full"), (4, 2, "full"),
)  # fmt: skip
SOURCE_LEVELS = (4, 8)
PLAIN = (2, 4)
TUNED = ((2, 1), (2, 2), (4, 1))


@dataclass(frozen=True)
class Size:
    """How large an experiment is.

    Attributes:
        network: Of the recipe.
        samples: Training images used, with those held out; 0 for all.
        longer: Factor on all epochs.
        device: As torch calls it.
    """

    network: dict[str, Any]
    samples: int = 22_000
    longer: int = 1
    device: str = "cpu"


SIZES = {
    "small": Size({"name": "mlp", "widths": [128] * 3}),
    "medium": Size({"name": "mlp", "widths": [128] * 4}),
    "deep": Size({"name": "mlp", "widths": [128] * 8}),
    "conv": Size({"name": "vgg", "stages": [[8, 8], [16, 16], [32]]}, samples=12_000),
    "resnet": Size({"name": "resnet", "width": 8, "blocks": [1, 1, 1]}, samples=12_000),
    "ms-resnet": Size({"name": "ms-resnet", "width": 8, "blocks": [1, 1, 1]}, samples=12_000),
    "large": Size(
        {"name": "vgg", "stages": [[64, 64], [128, 128], [256, 256]]},
        samples=0,
        longer=5,
        device="cuda",
    ),
}


def show_line(text: str) -> None:
    """Write a line to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def recipe(folder: Path, arguments: Any, seed: int, **tables: Any) -> Recipe:
    """Return a recipe on the data set."""
    size = SIZES[arguments.size]
    data = {
        "source": arguments.data,
        "path": str(folder),
        "samples": size.samples,
        "validation": VALIDATION,
    }
    training = tables.pop("training")
    training |= {
        "epochs": training["epochs"] * size.longer,
        "seed": seed,
        "threads": arguments.threads,
        "device": size.device,
    }
    return recipe_of({"data": data, "training": training, **tables})


def measured(network: Network, test: Part) -> dict[str, float]:
    """Return accuracy and operations on the test set."""
    operations = count_operations(network, test.x[:COUNTED].float()).as_dict()
    return {"accuracy": accuracy(evaluate(network, test), test.y)} | operations


def run(name: str, made: Recipe, dataset: Dataset, out: Path) -> dict[str, float]:
    """Train, or return what is known of a run that is finished."""
    result = out / name / "result.json"
    if not result.exists():
        trained = train(made, dataset, out / name, resume=True)
        result.write_text(json.dumps(measured(trained.network, trained.test)))
        show_line(f"{name}: {json.loads(result.read_text())['accuracy']:.4f}")
    found: dict[str, float] = json.loads(result.read_text())
    return found


def show(title: str, results: list[dict[str, float]]) -> None:
    """Print a row of the table."""
    values = {key: np.array([result[key] for result in results]) for key in results[0]}
    right = 100 * values["accuracy"]
    show_line(
        f"| {title} | {right.mean():.2f} ± {right.std():.2f} "
        f"| {values['spikes'].mean() / 1e3:.2f} "
        f"| {values['synaptic_operations'].mean() / 1e6:.3f} "
        f"| {values['mixing_operations'].mean() / 1e6:.3f} "
        f"| {values['input_operations'].mean() / 1e6:.3f} "
        f"| {values['energy_j'].mean() * 1e6:.3f} "
        f"| {values['energy_with_all_j'].mean() * 1e6:.3f} |"
    )


def ablation(arguments: Any, dataset: Dataset) -> None:
    """Train every combination directly."""
    rows: dict[tuple[int, int, str], list[dict[str, float]]] = {key: [] for key in ABLATION}
    for seed in range(arguments.seeds):
        for levels, windows, mixing in ABLATION:
            made = recipe(
                arguments.folder,
                arguments,
                seed,
                network=SIZES[arguments.size].network,
                neuron={"levels": levels, "windows": windows, "mixing": mixing},
                training=DIRECT,
            )
            name = f"{arguments.size}-ablation-{levels}-{windows}-{mixing}-{seed}"
            rows[levels, windows, mixing].append(run(name, made, dataset, arguments.out))
    for (levels, windows, mixing), results in rows.items():
        show(f"{levels} | {windows} | {mixing}", results)


def hybrid(arguments: Any, dataset: Dataset) -> None:
    """Train QCFS networks, convert them plainly, and fine-tune them as LM-HT networks."""
    device = SIZES[arguments.size].device
    test = Part(*(torch.tensor(a, device=device) for a in (dataset.test_x, dataset.test_y)))
    rows: dict[str, list[dict[str, float]]] = {}
    for levels in SOURCE_LEVELS:
        for seed in range(arguments.seeds):
            name = f"{arguments.size}-qcfs-{levels}-{seed}"
            network = SIZES[arguments.size].network
            made = recipe(
                arguments.folder,
                arguments,
                seed,
                network=network | {"activation": "qcfs"},
                neuron={"levels": levels},
                training=SOURCE,
            )
            source = run(name, made, dataset, arguments.out)
            rows.setdefault(f"QCFS {levels} | source", []).append(source)
            start = arguments.out / name / BEST
            for steps in PLAIN:
                trained = load_checkpoint(start).network.to(device)
                plain = convert_to_neurons(trained, 1, steps, mixing="diagonal").eval()
                key = f"QCFS {levels} | plain, {steps} steps"
                rows.setdefault(key, []).append(measured(plain, test))
            for own, windows in TUNED:
                trained = load_checkpoint(start).network.to(device)
                untuned = convert_to_neurons(trained, own, windows)
                key = f"QCFS {levels} | LM-HT L={own}, T={windows}, not fine-tuned"
                rows.setdefault(key, []).append(measured(untuned.eval(), test))
                tuned = recipe(
                    arguments.folder,
                    arguments,
                    seed,
                    neuron={"levels": own, "windows": windows},
                    training=TUNING,
                    hybrid={"start": str(start)},
                )
                key = f"QCFS {levels} | LM-HT L={own}, T={windows}"
                name_of_run = f"{arguments.size}-hybrid-{levels}-{own}-{windows}-{seed}"
                found = run(name_of_run, tuned, dataset, arguments.out)
                rows.setdefault(key, []).append(found)
    for title in sorted(rows):
        show(title, rows[title])
    for levels in SOURCE_LEVELS:
        for own, windows in TUNED:
            tuned_rows = rows[f"QCFS {levels} | LM-HT L={own}, T={windows}"]
            plain_rows = rows[f"QCFS {levels} | plain, {own * windows} steps"]
            margins = np.array(
                [
                    100 * (ours["accuracy"] - theirs["accuracy"])
                    for ours, theirs in zip(tuned_rows, plain_rows, strict=True)
                ]
            )
            show_line(
                f"QCFS {levels}, L={own}, T={windows}: margin over the plain conversion "
                f"{margins.mean():+.2f} ± {margins.std():.2f} points"
            )


def main() -> None:
    """Run one of the two experiments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", choices=("ablation", "hybrid"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", choices=("fashion-mnist", "mnist"), default="fashion-mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    table = recipe(
        arguments.folder.resolve(),
        arguments,
        0,
        network=SIZES["small"].network,
        training=DIRECT,
    )
    dataset = load_dataset(table.data)
    {"ablation": ablation, "hybrid": hybrid}[arguments.experiment](arguments, dataset)


if __name__ == "__main__":
    main()
