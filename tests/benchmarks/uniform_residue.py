"""How many spike counts the published reparameterization changes in random networks.

    uv run python tests/benchmarks/uniform_residue.py [--networks 1000] [--samples 64]

The networks are those of the property tests: one to six layers, up to 16 levels and six
windows, signed weights and mixing matrices, retention 0.5 to 1. Networks of a single window are
left out, where nothing can differ, and those of a single output, whose answer cannot.
Deterministic for a seed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from random import Random

import numpy as np

from toolchain.ir.snn import LmHt
from toolchain.testing import random_samples, random_windows
from toolchain.verification.reparameterization import Residue, uniform_residue


def main() -> None:
    arguments = read_arguments()
    random = Random(arguments.seed)
    rows: dict[str, list[Residue]] = defaultdict(list)
    while len(rows["all"]) < arguments.networks:
        graph = random_windows(random)
        x = random_samples(graph, random, arguments.samples)
        neurons = graph.of_type(LmHt)
        if neurons[0].windows == 1 or np.prod(graph.output.shape) == 1:
            continue
        residue = uniform_residue(graph, x)
        layers = "1 layer" if len(neurons) == 1 else "2 to 3" if len(neurons) < 4 else "4 to 6"
        for row in ("all", kind_of(neurons[0]), layers):
            rows[row].append(residue)
    write("| networks | number | counts | isolated | cumulative | last layer | answers |")
    write("|---|---|---|---|---|---|---|")
    for name in ("all", "full", "lower", "diagonal", "1 layer", "2 to 3", "4 to 6"):
        write(line(name, rows[name]))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def kind_of(neurons: LmHt) -> str:
    """Return the kind of a mixing matrix."""
    if np.triu(neurons.mixing, 1).any():
        return "full"
    return "lower" if np.tril(neurons.mixing, -1).any() else "diagonal"


def line(name: str, residues: list[Residue]) -> str:
    """Return a row of the table: shares of all counts, and of all samples."""
    layers = [layer for residue in residues for layer in residue.layers]
    total = sum(layer.counts for layer in layers)
    isolated = sum(layer.counts * layer.isolated for layer in layers) / total
    cumulative = sum(layer.counts * layer.cumulative for layer in layers) / total
    last = [residue.layers[-1] for residue in residues]
    ends = sum(layer.counts * layer.cumulative for layer in last)
    answers = np.mean([residue.answers for residue in residues])
    shares = (isolated, cumulative, ends / sum(layer.counts for layer in last), answers)
    return (
        f"| {name} | {len(residues)} | {total} | "
        + " | ".join(f"{share:.2%}" for share in shares)
        + " |"
    )


def write(text: str) -> None:
    """Write a line to the terminal."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
