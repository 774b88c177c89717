"""Time a training step of `MultiThreshold` against the published equations, one by one.

    python tests/benchmarks/training_step.py [--threads N] [--device cpu|cuda]

Prints the best of several rounds for the forward and backward pass of one layer, in samples
per second; the two take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from toolchain.training.neuron import MultiThreshold
from toolchain.training.testing import published_neuron

SHAPES = {
    "dense 512, L=4, T=2": (4, 2, (256, 512)),
    "conv 32x14x14, L=2, T=2": (2, 2, (64, 32, 14, 14)),
    "conv 32x14x14, L=4, T=4": (4, 4, (64, 32, 14, 14)),
    "conv 64x32x32, L=2, T=4": (2, 4, (32, 64, 32, 32)),
    "tokens 64x384, L=4, T=4": (4, 4, (16, 64, 384)),
}
ROUNDS = 7


def ours(neuron, x):
    return neuron(x)


def published(neuron, x):
    return published_neuron(
        x,
        neuron.mixing(),
        neuron.retention,
        threshold=float(neuron.threshold),
        levels=neuron.levels,
    )


def seconds(step, neuron, x, gradient):
    """Return the time of one forward and backward pass."""
    repeats = max(1, 20_000_000 // x.numel())
    start = time.perf_counter()
    for _ in range(repeats):
        x.grad = None
        neuron.zero_grad()
        step(neuron, x).backward(gradient)
    if x.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def show(line):
    sys.stdout.write(f"{line}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    show(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.device}")
    for name, (levels, windows, shape) in SHAPES.items():
        neuron = MultiThreshold(levels, windows).to(arguments.device)
        x = torch.randn(windows, *shape, device=arguments.device, requires_grad=True)
        gradient = torch.randn_like(x)
        times = {ours: [], published: []}
        for _ in range(ROUNDS):
            for step, taken in times.items():
                taken.append(seconds(step, neuron, x, gradient))
        fast, slow = (shape[0] / min(taken) for taken in times.values())
        show(f"{name:26} ours {fast:9.0f}/s  published {slow:9.0f}/s  {fast / slow:.2f}x")


if __name__ == "__main__":
    main()
