"""Step mode keeps the chip's time and registers."""

from dataclasses import replace

import numpy as np
import pytest

from targets.simulator.step import everything, run_samples, simulate
from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, Injection, Lif, Source
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

NEVER = 1 << 17


def inputs(*values):
    return {"in": np.array(values).reshape(1, -1, 1)}


def trace_of(circuit, sent, **options):
    steps = next(iter(sent.values())).shape[1]
    return simulate(circuit, sent, steps, record=everything(circuit), **options)


# Time


def test_a_spike_arrives_one_step_later_and_is_integrated_at_once(one_neuron):
    trace = trace_of(one_neuron(decay_u=2048, decay_v=1024), inputs(1, 0, 0, 0))

    assert trace.u["out"].ravel().tolist() == [0, 6400, 3200, 1600]
    assert trace.v["out"].ravel().tolist() == [0, 6400, 8000, 7600]


def test_a_delay_adds_to_the_one_step(one_neuron):
    trace = trace_of(one_neuron(delay=2, decay_u=4096), inputs(1, 0, 0, 0, 0))

    assert trace.u["out"].ravel().tolist() == [0, 0, 0, 6400, 0]


def test_a_neuron_spikes_strictly_above_its_threshold_and_then_forgets_v_but_not_u(one_neuron):
    at = trace_of(one_neuron(threshold=100), inputs(1, 0, 0))
    below = trace_of(one_neuron(threshold=99), inputs(1, 0, 0))

    assert at.spikes["out"].ravel().tolist() == [False, False, True]
    assert below.spikes["out"].ravel().tolist() == [False, True, True]
    assert below.v["out"].ravel().tolist() == [0, 0, 0]
    assert below.u["out"].ravel().tolist() == [0, 6400, 6400]


def test_a_reset_comes_before_the_input_of_its_step(one_neuron):
    circuit = one_neuron(reset_interval=3, reset_offset=1)

    trace = trace_of(circuit, inputs(1, 1, 1, 1, 1))

    assert trace.u["out"].ravel().tolist() == [0, 6400, 12800, 19200, 6400]


def test_the_first_step_sets_the_phase_of_resets(one_neuron):
    circuit = one_neuron(reset_interval=3, reset_offset=1)

    trace = trace_of(circuit, inputs(1, 1, 1, 1), first_step=2)

    assert trace.u["out"].ravel().tolist() == [0, 6400, 6400, 12800]


def test_a_source_left_out_sends_its_events_to_every_sample(one_neuron):
    events = ((1, np.array([3])), (2, np.array([-2])))
    gated = one_neuron(bits=3, events=events)
    other = Source(name="other", shape=(2,))
    circuit = replace(gated, sources=(*gated.sources, other), inputs=("other",))

    trace = simulate(circuit, {"other": np.zeros((2, 4, 2), int)}, 4, record={"out": ("u",)})

    assert trace.u["out"][:, :, 0].tolist() == [[0, 0, 19200, 6400]] * 2
    assert trace.activity.spikes["in"].tolist() == [2, 2]


def test_the_host_writes_currents_and_biases_in_the_very_step():
    source = Source(name="in", shape=(1,), message_bits=8)
    current = Lif(name="current", shape=(1,), threshold=NEVER)
    bias = Lif(name="bias", shape=(1,), threshold=NEVER, bias_mantissa=1, bias_exponent=2)
    circuit = Circuit(
        name="host",
        sources=(source,),
        populations=(current, bias),
        synapses=(
            Injection(name="to a", source="in", target="current", register="a"),
            Injection(name="to bias", source="in", target="bias", register="bias"),
        ),
        inputs=("in",),
        period=3,
        latency=3,
    )

    stepwise = trace_of(circuit, inputs(5, 0, -1))
    sample = run_samples(circuit, np.array([[5]]), record=everything(circuit)).trace

    assert stepwise.v["current"].ravel().tolist() == [320, 640, 896]
    assert stepwise.v["bias"].ravel().tolist() == [20, 20, 16]
    assert sample.v["bias"].ravel().tolist() == [20, 40, 60]


# Registers


def test_u_comes_back_turn_by_turn_even_without_input(one_neuron):
    circuit = one_neuron(weight=128, bits=16, decay_v=4096)

    trace = trace_of(circuit, inputs(5000, 0, 0, 0))

    first = 5000 * 128 * 64
    assert trace.u["out"].ravel().tolist() == [
        0,
        first - 2**24,
        first - 2 * 2**24,
        first - 2**25,
    ]
    assert trace.activity.wraps["out"].tolist() == [2]


@pytest.mark.parametrize("decay_v", [0, 4096])
def test_v_is_limited_and_counted_in_every_step_and_sample(one_neuron, decay_v):
    circuit = one_neuron(bits=3, bias_mantissa=16383, bias_exponent=9, decay_v=decay_v)
    sent = {"in": np.array([[[1]] + [[0]] * 3, [[-2]] + [[0]] * 3])}

    trace = simulate(circuit, sent, 4, record={"out": ("v",)})

    if decay_v:
        assert trace.v["out"][1, :, 0].tolist() == [8388096] + [8375296] * 3
    assert trace.v["out"][0, 1:, 0].tolist() == [2**23 - 1] * 3
    assert trace.activity.saturations["out"].tolist() == [3, 0 if decay_v else 3]


def test_a_convolution_wraps_its_sum_and_every_copy_is_counted():
    weight = np.full((4, 1, 1, 1), 127)
    circuit = Circuit(
        name="conv",
        sources=(Source(name="in", shape=(1, 1, 2), message_bits=20),),
        populations=(Lif(name="out", shape=(4, 1, 2), threshold=NEVER, decay_u=4096),),
        synapses=(ConvSynapse(name="conv", source="in", target="out", weight=weight),),
        inputs=("in",),
        period=1,
        latency=1,
    )

    trace = trace_of(circuit, {"in": np.array([[[[[70000, 5]]], [[[0, 0]]]]])})

    wrapped = (70000 * 127 - 2**24) << 6
    assert trace.activity.wraps["conv"].tolist() == [4]
    np.testing.assert_array_equal(trace.u["out"][0, 1, :, 0, 0] % 2**24, [wrapped % 2**24] * 4)
    assert trace.u["out"][0, 1, 0, 0, 1] == 5 * 127 << 6


def test_a_payload_beyond_its_message_is_sent_and_counted():
    circuit = Circuit(
        name="sum",
        sources=(Source(name="in", shape=(1,), message_bits=8),),
        populations=(
            Delta(name="delta", shape=(1,), threshold=1, spike_exponent=0, message_bits=3),
            Sigma(name="sigma", shape=(1,), message_bits=8),
        ),
        synapses=(
            Injection(name="host", source="in", target="delta", register="a"),
            DenseSynapse(name="w", source="delta", target="sigma", weight=np.array([[10]])),
        ),
        inputs=("in",),
        period=3,
        latency=3,
    )

    trace = trace_of(circuit, inputs(5, 5, -3, -4))

    assert trace.spikes["delta"].ravel().tolist() == [5, 0, -8, -1]
    assert trace.v["sigma"].ravel().tolist() == [0, 50, 50, -30]
    assert trace.activity.saturations["delta"].tolist() == [2]


def test_sigma_delta_populations_send_only_changes_of_at_least_their_threshold():
    circuit = Circuit(
        name="sdn",
        sources=(Source(name="in", shape=(1,), message_bits=16),),
        populations=(
            SigmaDelta(name="out", shape=(1,), threshold=2, bias=-1, spike_exponent=1),
        ),
        synapses=(Injection(name="host", source="in", target="out", register="a"),),
        inputs=("in",),
        period=4,
        latency=4,
    )

    trace = trace_of(circuit, inputs(256, 64, 0, 256))

    assert trace.v["out"].ravel().tolist() == [256, 320, 320, 576]
    assert trace.spikes["out"].ravel().tolist() == [0, 0, 0, 7]
