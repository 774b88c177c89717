"""Tests of arithmetic on the device itself, with the integers of the reference.

Forms are chosen by proof, and a proof rests on what the libraries below torch do: which
algorithm they pick for a shape (one that transforms its inputs, as Winograd's, leaves
fractions), in which type they add. So each form is run once, on the shapes that it will be run
on, before it is trusted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.torch_counts._torch import torch
from targets.torch_counts.device import to_device
from targets.torch_counts.forms import Form, Sums, exact_forms
from targets.torch_counts.near_ties import VECTORS, currents_at_ties, layer_inputs
from targets.torch_counts.neurons import Population
from targets.torch_counts.reach import reach_of
from toolchain.bounds import Layer
from toolchain.errors import MissingDependencyError
from toolchain.ir.counts import count
from toolchain.ir.graph import Graph
from toolchain.ir.snn import Spiking

_TURNS = 3


def fastest_exact(graph: Graph, layer: Layer, batch: int, device: Any) -> tuple[Form, Sums]:
    """Return the form of a layer that is fastest among those that give its integers.

    The widest form is taken only if no other is exact; it needs no race to lose it.

    Raises:
        MissingDependencyError: None of them does on this device.
    """
    inputs = layer_inputs(graph, layer)
    wanted = count(_without_bias(layer), inputs.astype(np.float64))
    x = to_device(inputs[np.arange(batch) % VECTORS], device)
    passed: list[tuple[float, Form, Sums]] = []
    for form, sums in _built(graph, layer, device):
        if passed and form.name == "float64":
            break
        if _gives(sums, x, wanted):
            passed.append((_seconds(sums, x, device), form, sums))
    if not passed:
        raise MissingDependencyError(
            f"torch {torch.__version__} computes no exact sums on {device}",
            node=layer.name,
            hint="use engine 'count', and report the device",
        )
    _, form, sums = min(passed, key=lambda one: one[0])
    return form, sums


def require_exact(graph: Graph, neurons: Spiking, population: Population, device: Any) -> None:
    """Run a population on currents next to its thresholds.

    Raises:
        MissingDependencyError: A spike count differs from the reference.
    """
    currents = currents_at_ties(graph, neurons)
    biases = sum(layer.bias for layer in graph.layers_into(neurons))
    sums = torch.from_numpy((currents - biases).astype(np.float64)).to(device)
    wanted = count(neurons, currents.astype(np.float64))
    if not np.array_equal(population(sums).cpu().numpy(), wanted):
        raise MissingDependencyError(
            f"torch {torch.__version__} divides inexactly on {device}",
            node=neurons.name,
            hint="use engine 'count', and report the device",
        )


def _built(graph: Graph, layer: Layer, device: Any) -> Iterator[tuple[Form, Sums]]:
    reach, shape = reach_of(graph, layer), graph.shapes[layer.name]
    for form in exact_forms(layer, reach, device):
        yield form, form.build(layer, reach, shape, device)


def _gives(sums: Sums, x: Any, wanted: npt.NDArray[np.float64]) -> bool:
    """Tell whether a form runs on this device and gives the wanted integers throughout."""
    try:
        found = sums(x)
    except RuntimeError:  # a shape or type that this device's library does not take
        return False
    expected = torch.from_numpy(wanted).to(x.device)
    return all(
        bool((found[sample::VECTORS] == expected[sample]).all()) for sample in range(VECTORS)
    )


def _seconds(sums: Sums, x: Any, device: Any) -> float:
    """Return how long a layer takes that has run before, the shortest of a few times."""
    taken = []
    for _ in range(_TURNS):
        began = time.perf_counter()
        sums(x)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _without_bias(layer: Layer) -> Layer:
    return dataclasses.replace(layer, bias=np.zeros((), np.int64))
