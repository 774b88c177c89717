"""The self-test passes on this machine and names every population that is counted wrongly."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.twin.layout import lay_out
from targets.twin.self_test import failures, run_cases
from toolchain.ir.counts import count
from toolchain.ir.snn import Spiking


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_fails_here(branches, random):
    assert not failures(lay_out(branches(random)), run_cases)


@pytest.mark.parametrize("seed", range(3))
def test_one_neuron_beyond_a_step_is_found(branches, seed):
    layout = lay_out(branches(Random(seed)))

    def round_up(layout, cases):
        for case, counts in run_cases(layout, cases):
            counts[np.unravel_index(counts.argmin(), counts.shape)] += 1
            yield case, counts

    assert failures(layout, round_up) == {node.name for node in layout.graph.of_type(Spiking)}


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_neuron_of_every_channel_and_window_is_next_to_a_step(branches, random):
    layout, cases = lay_out(branches(random)), []

    def collect(layout, made):
        cases.extend(made)
        return [(case, case.counts) for case in cases]

    failures(layout, collect)

    for case in cases:
        away = steps_away(case)
        assert away.min(axis=(0, 2)).max() <= 1


def steps_away(case):
    """Return how far potentials are from a step, ``(samples, channels, positions)``."""
    node, graph = case.node, case.graph
    layers = graph.layers_into(node)
    sums = sum(count(layer, case.inputs[layer.inputs[0]].astype(float)) for layer in layers)
    by_window = (len(sums), node.windows, sums.shape[1] // node.windows, -1)
    lateral = np.broadcast_to(node.lateral, (node.windows, *by_window[1:3]))
    taken = np.einsum("tsc,nscp->ntcp", lateral, case.counts.reshape(by_window))
    first = np.broadcast_to(node.initial, sums.shape[1:])
    potential = (sums + first - taken.reshape(sums.shape)).reshape(*sums.shape[:2], -1)
    threshold = np.broadcast_to(np.ravel(node.threshold), sums.shape[1:2])[:, None]
    steps = np.clip(np.rint(potential / threshold), 1, node.levels)
    return np.abs(potential - steps * threshold)


def test_sums_that_saturate_half_way_are_found(branches):
    layout = lay_out(branches(Random(0)))

    def saturate(layout, cases):
        cut = [
            replace(case, inputs={name: np.minimum(x, 100) for name, x in case.inputs.items()})
            for case in cases
        ]
        return run_cases(layout, cut)

    assert failures(layout, saturate)
