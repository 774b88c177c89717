"""What the simulator would compute otherwise than Lava, or not at all, is refused by name."""

from dataclasses import replace

import numpy as np
import pytest

from targets.simulator.step import run_samples, simulate
from toolchain.errors import InputDataError, RangeError, UnknownNameError, VerifyError
from toolchain.ir.mapped import Readout, Source, Window


def inputs(*values):
    return {"in": np.array(values).reshape(1, -1, 1)}


@pytest.mark.parametrize(
    ("registers", "problem"),
    [
        ({"threshold": 1 << 18}, "threshold is 262144; 0 to 262143 is allowed"),
        ({"decay_u": -1}, "decay_u is -1; 0 to 4096 is allowed"),
        ({"bias_mantissa": 1 << 15}, "bias mantissa is 32768; -32768 to 32767 is allowed"),
        ({"weight": 256}, "weight is 256; -255 to 255 is allowed"),
        ({"delay": 63}, "delay is 63; 0 to 62 is allowed"),
        ({"reset_interval": 2, "reset_offset": 2}, "reset_offset is 2; 0 to 1 is allowed"),
    ],
)
def test_registers_that_lava_would_change_are_refused(one_neuron, registers, problem):
    with pytest.raises(RangeError) as error:
        simulate(one_neuron(**registers), inputs(1), 1)

    assert error.value.problem == problem


def test_odd_weights_of_both_signs_are_refused(one_neuron):
    circuit = one_neuron()
    wire = replace(circuit.synapses[0], weight=np.array([[3, -2]]))
    source = replace(circuit.sources[0], shape=(2,))

    with pytest.raises(RangeError) as error:
        simulate(replace(circuit, sources=(source,), synapses=(wire,)), {}, 1)

    assert error.value.node == "wire"


@pytest.mark.parametrize(("bits", "value"), [(0, 2), (0, -1), (3, 4), (3, -5)])
def test_payloads_wider_than_their_message_are_refused(one_neuron, bits, value):
    with pytest.raises(RangeError) as error:
        simulate(one_neuron(bits=bits), inputs(value), 1)

    assert error.value.node == "in"


def test_a_sum_of_more_than_32_bits_is_refused(one_neuron):
    circuit = one_neuron(weight=255, bits=24, exponent=2)

    with pytest.raises(RangeError) as error:
        simulate(circuit, inputs(1 << 22, 0), 2)

    assert str(error.value) == (
        "quantize at 'wire': a sum of weights times spikes reaches 4278190080; the simulator "
        "adds up to 2147483647\n  hint: use smaller weights or payloads"
    )


@pytest.mark.parametrize(
    "array", [np.zeros((1, 2, 1)), np.zeros((1, 3, 1), int), np.zeros((1, 2, 2), int)]
)
def test_input_of_another_shape_or_type_is_refused(one_neuron, array):
    with pytest.raises(InputDataError) as error:
        simulate(one_neuron(), {"in": array}, 2)

    assert error.value.node == "in"


def test_samples_are_needed(one_neuron):
    with pytest.raises(InputDataError):
        run_samples(one_neuron(), np.zeros((0, 1), int))


@pytest.mark.parametrize("record", [{"nobody": ("u",)}, {"out": ("w",)}, {"in": ("spikes",)}])
def test_what_does_not_exist_cannot_be_recorded(one_neuron, record):
    with pytest.raises(UnknownNameError):
        simulate(one_neuron(), inputs(1), 1, record=record)


def test_a_population_without_a_window_cannot_be_counted(one_neuron):
    with pytest.raises(UnknownNameError):
        run_samples(one_neuron(), np.array([[1]]), count=("in",))


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ("out",)},
        {"readouts": (Readout("in", 0),)},
        {"windows": {"in": Window(0, 1)}},
        {"windows": {"out": Window(0, 1, copies=2)}},
        {"sources": (Source(name="in", shape=()),)},
        {"populations": ()},
        {"sources": (Source(name="in", shape=(2,)),)},
        {"sources": (Source(name="wire", shape=(1,)),)},
    ],
)
def test_circuits_that_do_not_hang_together_are_refused(one_neuron, change):
    with pytest.raises(VerifyError):
        simulate(replace(one_neuron(), **change), {}, 1)


def test_thresholds_that_do_not_broadcast_are_refused(one_neuron):
    with pytest.raises(VerifyError) as error:
        simulate(one_neuron(threshold=np.array([1, 2])), inputs(1), 1)

    assert error.value.problem == "threshold has shape (2,), which does not broadcast to (1,)"


def test_events_of_another_shape_than_their_source_are_refused(one_neuron):
    circuit = one_neuron()
    source = Source(name="gate", shape=(2,), message_bits=3, events=((0, np.array([1, 1, 1])),))

    with pytest.raises(VerifyError, match="an event has shape") as error:
        simulate(replace(circuit, sources=(*circuit.sources, source)), inputs(1), 1)

    assert error.value.node == "gate"


def test_windows_of_no_neurons_are_refused(one_neuron):
    circuit = replace(one_neuron(), windows={"out": Window(0, 1, copies=0)})

    with pytest.raises(RangeError, match="copies is 0") as error:
        simulate(circuit, inputs(1), 1)

    assert error.value.node == "out"
