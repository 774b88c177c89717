"""Neurons of binary numbers do what their equations say, in every register and every step."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.simulator.step import everything, run_samples, run_stream, simulate
from toolchain.errors import RangeError
from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, Readout, Source, Window
from toolchain.ir.radix import Radix, RadixMax

STEPS = 20
REGISTER = 2**23


def wrapped(x):
    return (x + REGISTER) % (2 * REGISTER) - REGISTER


def drawn(random):
    """Return graded input for neurons, some of them at the ends of their registers."""
    numbers = np.random.default_rng(random.getrandbits(32))
    places = random.randint(0, 8)
    span = random.choice((5, 2**12, 2**21))
    most = min(span, REGISTER - 1 >> max(places - 1, 0))
    neurons = Radix(
        name="n",
        shape=(3, 1, 2),
        start=random.randint(0, 9),
        interval=max(places, 1) + random.randint(0, 3),
        places=places,
        threshold=numbers.integers(1, most + 1, (3, 1, 1)),
        bias=numbers.integers(-4 * span, 4 * span, (3, 1, 2)) if random.random() < 0.5 else -3,
        shift=random.choice((0, 3)),
        ceiling=random.choice((REGISTER - 1, span, numbers.integers(0, span, (3, 1, 2)))),
    )
    weight = 2 * numbers.integers(-64, 64, (6, 4))
    circuit = Circuit(
        name="radix",
        sources=(Source(name="x", shape=(4,), message_bits=20),),
        populations=(neurons,),
        synapses=(DenseSynapse(name="w", source="x", target="n", weight=weight),),
        inputs=("x",),
        period=STEPS,
        latency=STEPS,
    )
    reach = random.choice((1, 100, 2**19 - 1))
    sent = numbers.integers(-reach, reach + 1, (2, STEPS, 4))
    sent[:, numbers.random(STEPS) < 0.3] = 0
    return circuit, sent


@given(st.randoms())
def test_registers_and_spikes_are_those_of_the_equations(random):
    circuit, sent = drawn(random)
    (neurons,), weight = circuit.populations, circuit.synapses[0].weight

    trace = simulate(circuit, {"x": sent}, STEPS, record=everything(circuit))

    u, v, wraps = (np.zeros((2, 3, 1, 2), np.int64) for _ in range(3))
    for t in range(STEPS):
        spikes = np.zeros(u.shape, bool)
        arriving = sent[:, t - 1] @ weight.T if t else np.zeros((2, 6), np.int64)
        u = 2 * u + arriving.reshape(u.shape)
        wraps += u != wrapped(u)
        u = wrapped(u)
        phase = (t - neurons.start) % neurons.interval
        if t >= neurons.start and phase == 0:
            total = u * 2**neurons.shift + neurons.bias
            wraps += total != wrapped(total)
            v = np.minimum(wrapped(total), neurons.ceiling)
            u = 0 * u
        if t >= neurons.start and phase < neurons.places:
            worth = neurons.threshold * 2 ** (neurons.places - 1 - phase)
            spikes = v >= worth
            v = v - worth * spikes
        np.testing.assert_array_equal(trace.u["n"][:, t], u)
        np.testing.assert_array_equal(trace.v["n"][:, t], v)
        np.testing.assert_array_equal(trace.spikes["n"][:, t], spikes)
    np.testing.assert_array_equal(trace.activity.wraps["n"], wraps.sum(axis=(1, 2, 3)))
    assert not trace.activity.saturations["n"].any()


def numbers_in_a_row(start=1, interval=4):
    """Numbers of 4 places that go through a pool of 5 and are read in binary."""
    return Circuit(
        name="pool",
        sources=(Source(name="x", shape=(1, 1, 5), message_bits=5),),
        populations=(
            Radix(name="n", shape=(1, 1, 5), start=start, interval=interval, places=4),
            RadixMax(name="max", shape=(1, 1, 1), start=start + 1, interval=interval),
            Radix(name="out", shape=(1,), start=start + 5, interval=interval, places=0),
        ),
        synapses=(
            ConvSynapse(name="a", source="x", target="n", weight=np.ones((1, 1, 1, 1), int)),
            ConvSynapse(
                name="b", source="n", target="max", weight=2 ** np.arange(5).reshape(1, 1, 1, 5)
            ),
            DenseSynapse(name="c", source="max", target="out", weight=np.array([[3]])),
        ),
        inputs=("x",),
        period=4,
        latency=start + 6,
        windows={"n": Window(1, 4, is_radix=True), "max": Window(2, 4, is_radix=True)},
        readouts=(Readout("out", start + 5, shift=0),),
    )


@given(st.lists(st.lists(st.integers(0, 15), min_size=5, max_size=5), min_size=1, max_size=6))
def test_numbers_and_the_largest_of_them_arrive_sample_by_sample(samples):
    x = np.array(samples).reshape(-1, 1, 1, 5)

    for result in (run_samples(numbers_in_a_row(), x), run_stream(numbers_in_a_row(), x)):
        np.testing.assert_array_equal(result.counts["n"], x)
        np.testing.assert_array_equal(result.counts["max"], x.max(axis=3, keepdims=True))
        np.testing.assert_array_equal(result.readout[:, 0], 3 * x.max(axis=(1, 2, 3)))


def test_spikes_are_counted_one_by_one_for_what_they_cost():
    x = np.array([15, 0, 8, 3, 5]).reshape(1, 1, 1, 5)

    result = run_samples(numbers_in_a_row(), x)

    assert result.activity.spikes["n"] == [4 + 0 + 1 + 2 + 2]
    assert result.activity.spikes["max"] == [4]
    assert result.activity.synaptic_operations["b"] == [9]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"places": 17}, "places is 17; 0 to 16 is allowed"),
        ({"places": 3, "interval": 2}, "interval is 2; 3 to 2147483647 is allowed"),
        ({"places": 8, "threshold": 65536}, "threshold is 65536; 1 to 65535 is allowed"),
        ({"threshold": 0}, "threshold is 0; 1 to 1048575 is allowed"),
        ({"bias": np.array([0, 2**23])}, "bias is 8388608; -8388608 to 8388607 is allowed"),
        ({"ceiling": -(2**23) - 1}, "ceiling is -8388609; -8388608 to 8388607 is allowed"),
        ({"shift": 16}, "shift is 16; 0 to 15 is allowed"),
        ({"start": -1}, "start is -1; 0 to 2147483647 is allowed"),
    ],
)
def test_what_the_registers_do_not_hold_is_refused(change, problem):
    fields = {"name": "n", "shape": (1, 1, 2), "start": 1, "interval": 9, "places": 4}
    circuit = Circuit(
        name="one",
        sources=(Source(name="x", shape=(1, 1, 2)),),
        populations=(Radix(**{**fields, **change}),),
        synapses=(),
        inputs=("x",),
        period=9,
        latency=9,
    )

    with pytest.raises(RangeError) as error:
        simulate(circuit, {}, 1)

    assert error.value.node == "n"
    assert error.value.problem == problem


def test_random_draws_reach_the_ends_of_the_registers():
    wraps = 0
    for seed in range(40):
        circuit, sent = drawn(Random(seed))
        activity = simulate(circuit, {"x": sent}, STEPS).activity
        wraps += int(activity.wraps["n"].sum())
    assert wraps > 100
