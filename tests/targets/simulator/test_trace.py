"""A trace is what the whole run, step by step, has in every register at every step."""

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from targets.engines.count import spike_counts
from targets.simulator._machine import Machine
from targets.simulator._within_bounds import watched
from targets.simulator.step import everything, run_samples
from targets.simulator.trace import trace_samples
from toolchain.engine import Program, Selection
from toolchain.errors import CapacityError, ConversionError, InputDataError, UnknownNameError
from toolchain.ir.ann import Dense, Relu
from toolchain.ir.reference import encode
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_branches,
    random_network,
    random_samples,
    random_windows,
)

TARGET = TARGETS["loihi2"]
LOWERINGS = ("temporal", "spatial", "radix", "temporal pipelined")
REGISTERS = ("spikes", "u", "v")


PLAIN = (random_network, random_branches)


def compile_as(lowering, graph, x, levels):
    """Compile a network in a lowering, whose name may be followed by that of a schedule."""
    name, _, schedule = lowering.partition(" ")
    schedule = schedule or "auto"
    return compile_network(graph, x, TARGET, levels=levels, lowering=name, schedule=schedule)


def compiled(draws, random, lowering, levels):
    """Return a program, and samples at the ends of its range."""
    graph = random.choice(draws)(random)
    x = random_samples(graph, random, 8)
    try:
        stages = compile_as(lowering, graph, x, levels)
    except (ConversionError, CapacityError):
        assume(False)
    program = Program(stages.quantized, stages.circuit)
    inputs = encode(stages.quantized.input, x).astype(np.int64)
    return program, np.concatenate([inputs, extreme_inputs(stages.quantized, random, 4)])


def require_equal(program, inputs, selection, trace):
    """Compare a trace with a run of everything."""
    circuit = program.circuit
    whole = run_samples(circuit, inputs, record=everything(circuit)).trace
    for name, found in trace.items():
        for register in REGISTERS:
            values = getattr(found, register)
            if register not in selection.registers:
                assert values is None
                continue
            wanted = getattr(whole, register)[name]
            first = found.first_step if register == "spikes" else 0
            wanted = wanted[:, first : first + values.shape[1]]
            if selection.neurons:
                wanted = wanted.reshape(*wanted.shape[:2], -1)[:, :, selection.neurons]
            np.testing.assert_array_equal(values, wanted, f"{register} of {name}")


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=8)
@given(st.randoms(), st.integers(1, 9))
def test_a_trace_of_everything_is_the_run_of_everything(lowering, random, levels):
    program, inputs = compiled(PLAIN, random, lowering, levels)
    populations = tuple(node.name for node in program.circuit.populations)
    selection = Selection(REGISTERS, populations)

    trace = trace_samples(program, inputs, selection)

    assert set(trace) == set(populations)
    require_equal(program, inputs, selection, trace)


@pytest.mark.parametrize("lowering", LOWERINGS)
@settings(max_examples=8)
@given(st.randoms())
def test_a_trace_of_few_neurons_is_that_of_all(lowering, random):
    program, inputs = compiled(PLAIN, random, lowering, 5)
    population = random.choice(program.circuit.populations)
    size = int(np.prod(population.shape))
    neurons = tuple(random.sample(range(size), min(size, random.randint(1, 4))))
    registers = tuple(random.sample(REGISTERS, random.randint(1, 3)))
    selection = Selection(registers, (population.name,), neurons)

    trace = trace_samples(program, inputs, selection)

    require_equal(program, inputs, selection, trace)


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "temporal pipelined"])
@settings(max_examples=8)
@given(st.randoms())
def test_windows_of_one_population_each_spike_in_their_own_time(lowering, random):
    program, inputs = compiled((random_windows,), random, lowering, 3)
    selection = Selection(REGISTERS)

    trace = trace_samples(program, inputs, selection)

    assert set(trace) == set(program.circuit.windows)
    require_equal(program, inputs, selection, trace)


def crowd():
    """Return a network whose sums are bounded by observation, and samples within the bounds."""
    numbers = np.random.default_rng(0)
    graph = chain(
        (2000,),
        Dense(name="dense", weight=numbers.normal(size=(5, 2000)) - 0.2, bias=np.zeros(5)),
        Relu(name="relu"),
        Dense(name="last", weight=numbers.normal(size=(3, 5)).astype(np.float32)),
    )
    x = (numbers.random((12, 2000)) < 0.05) * numbers.integers(0, 256, 2000)
    return graph, x


@pytest.mark.parametrize("lowering", ["temporal", "spatial", "temporal pipelined"])
def test_samples_beyond_an_observed_bound_are_run_step_by_step(lowering):
    graph, x = crowd()
    stages = compile_as(lowering, graph, x, 3)
    program = Program(stages.quantized, stages.circuit)
    weight = stages.quantized["dense"].weight
    beyond = 255 * np.stack([weight[0] > 0, weight[1] < 0, np.ones(2000, bool)])
    inputs = np.concatenate([encode(stages.quantized.input, x).astype(np.int64), beyond])
    selection = Selection(REGISTERS)

    trace = trace_samples(program, inputs, selection)

    network, beyond = watched(program.graph, ["relu"])
    assert stages.quantized["relu"].bound == "observed"
    assert (
        spike_counts(network, inputs, [beyond])[beyond].ravel().tolist() == [0] * 12 + [1] * 3
    )
    require_equal(program, inputs, selection, trace)


def test_spikes_outside_of_the_window_widen_what_is_traced():
    graph, x = crowd()
    stages = compile_network(graph, x, TARGET, levels=3, lowering="temporal")
    program = Program(stages.quantized, stages.circuit)
    window = stages.circuit.windows["relu"]
    astray = 255 * (stages.quantized["dense"].weight.max(axis=0, keepdims=True) > 0)
    inside = encode(stages.quantized.input, x).astype(np.int64)

    narrow = trace_samples(program, inside, Selection())["relu"]
    wide = trace_samples(program, np.concatenate([inside, astray]), Selection())["relu"]

    assert (narrow.first_step, narrow.spikes.shape) == (window.start, (12, window.length, 5))
    assert (wide.first_step, wide.spikes.shape) == (0, (13, stages.circuit.latency, 5))
    stop = window.start + window.length
    np.testing.assert_array_equal(wide.spikes[:12, window.start : stop], narrow.spikes)
    assert wide.spikes[12, : window.start].any() or wide.spikes[12, stop:].any()


@pytest.fixture(scope="module")
def program():
    """A small program, in whose circuit samples do not overlap."""
    random = Random(3)
    graph = random_network(random)
    x = random_samples(graph, random, 8)
    stages = compile_network(graph, x, TARGET, levels=5, lowering="temporal")
    return Program(stages.quantized, stages.circuit)


def samples_for(program, count=2):
    return np.zeros((count, *program.graph.input.shape), np.int64)


def test_spikes_need_no_time_steps(program, monkeypatch):
    monkeypatch.setattr(Machine, "step", None)

    trace = trace_samples(program, samples_for(program), Selection())

    assert set(trace) == set(program.circuit.windows)


def test_potentials_need_the_steps_of_their_population_alone(program, monkeypatch):
    stepped = []
    step = Machine.step
    monkeypatch.setattr(
        Machine, "step", lambda self, *how: stepped.append(self.circuit) or step(self, *how)
    )
    last = tuple(program.circuit.windows)[-1]

    trace_samples(program, samples_for(program), Selection(("v",), (last,)))

    assert len(program.circuit.populations) > 1
    assert {node.name for circuit in stepped for node in circuit.populations} == {last}


def test_what_does_not_exist_is_refused(program):
    inputs, name = samples_for(program), next(iter(program.circuit.windows))
    neurons = int(np.prod(program.circuit.nodes[name].shape))

    with pytest.raises(UnknownNameError, match="no population is called 'nobody'"):
        trace_samples(program, inputs, Selection(populations=("nobody",)))
    with pytest.raises(UnknownNameError, match="'w' cannot be recorded"):
        trace_samples(program, inputs, Selection(("w",), (name,)))
    with pytest.raises(InputDataError) as error:
        trace_samples(program, inputs, Selection(populations=(name,), neurons=(0, neurons)))
    assert error.value.node == name
    assert error.value.problem == (
        f"has no neuron {neurons}; they are numbered 0 to {neurons - 1}"
    )


def test_a_trace_that_would_fill_the_memory_is_refused_before_it_is_made(program):
    inputs = np.broadcast_to(samples_for(program, 1), (10**9, *program.graph.input.shape))

    with pytest.raises(InputDataError, match="a trace of 1000000000 samples takes"):
        trace_samples(program, inputs, Selection(REGISTERS))
