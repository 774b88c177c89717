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


def test_sums_that_saturate_half_way_are_found(branches):
    layout = lay_out(branches(Random(0)))

    def saturate(layout, cases):
        cut = [
            replace(case, inputs={name: np.minimum(x, 100) for name, x in case.inputs.items()})
            for case in cases
        ]
        return run_cases(layout, cut)

    assert failures(layout, saturate)
