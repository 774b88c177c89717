"""Spikes of a sample are those of its windows, and all others where the sample is alone."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.ir.mapped import Circuit, Lif, Source, Window
from toolchain.schedule import is_silent_at_rest
from toolchain.verification.comparison import first_spike

LATENCY = 6


def circuit(*, period=LATENCY, bias=0):
    population = Lif(name="n", shape=(2,), threshold=3, decay_v=4096, bias_mantissa=bias)
    return Circuit(
        name="net",
        sources=(Source(name="x", shape=(2,)),),
        populations=(population,),
        synapses=(),
        inputs=("x",),
        period=period,
        latency=LATENCY,
        windows={"n": Window(1, 2)},
    )


def differing_at(step):
    """Return two runs of three samples that differ in one spike."""
    ours = {"n": np.zeros((3, LATENCY, 2), bool)}
    theirs = {"n": ours["n"].copy()}
    theirs["n"][2, step, 1] = True
    return ours, theirs


@pytest.mark.parametrize("step", range(LATENCY))
def test_every_step_counts_where_a_sample_is_alone(step):
    found = first_spike(circuit(), *differing_at(step))

    assert found == f"population 'n', neuron (1,), sample 2, time step {step}: 0 against 1"


@pytest.mark.parametrize("kind", [{"period": 4}, {"bias": 5}], ids=["overlap", "biases"])
@pytest.mark.parametrize("step", range(LATENCY))
def test_elsewhere_only_those_of_the_window_do(step, kind):
    found = first_spike(circuit(**kind), *differing_at(step))

    assert (found is not None) == (step in (1, 2))


def test_neurons_are_silent_at_rest_unless_biases_drive_them():
    assert is_silent_at_rest(circuit())
    assert not is_silent_at_rest(circuit(bias=np.array([0, 1])))
