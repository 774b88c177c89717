"""A perceptron that integrates, then fires, does so in a netx file, spike by spike.

What gates and loops do in the circuit, clock channels beside the sample and relays beside the
neurons do there.
"""

import dataclasses
import itertools
from random import Random

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from targets.formats.netx_hdf5 import emit_netx
from targets.lava_compat import is_lava_installed
from targets.netx.reader import read_netx
from targets.netx.relays import relay_gates
from targets.netx.run import run_netx, run_on_netx
from targets.simulator.step import everything, run_samples, run_stream, simulate
from toolchain.errors import EmitError, ImportModelError
from toolchain.ir.ann import Conv, Dense, Relu
from toolchain.ir.snn import LmHt, Spiking
from toolchain.schedule import scheduled
from toolchain.target import TARGETS
from toolchain.testing import (
    chain,
    compile_network,
    extreme_inputs,
    random_samples,
    random_windows,
)


def perceptron_stages(seed, hidden, levels, lowering="temporal"):
    """Compile a random perceptron.

    Weights are large in some rows and small in others, so that one spike subtracts anything
    from a few units to thousands.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, hidden + 2)
    nodes = []
    for depth, (inputs, neurons) in enumerate(itertools.pairwise(sizes)):
        scale = rng.choice([0.02, 0.3, 3.0], (neurons, 1))
        weight = scale * rng.normal(0.3, 1, (neurons, inputs))
        weight[0] = np.abs(weight[0])  # so that some are active
        bias = np.abs(rng.normal(size=neurons))
        nodes.append(Dense(name=f"dense{depth}", weight=weight, bias=bias))
        nodes.append(Relu(name=f"relu{depth}"))
    return compiled(chain((int(sizes[0]),), *nodes[:-1]), rng, levels, lowering)


def compiled(network, rng, levels, lowering="temporal"):
    x = rng.normal(size=(32, *network.input.shape)).astype(np.float32)
    return compile_network(network, x, TARGETS["loihi2"], levels=levels, lowering=lowering)


def perceptron(*choices, **options):
    """Return the circuit of a random perceptron, and samples of all of its range."""
    return circuit_and_samples(perceptron_stages(*choices, **options))


def circuit_and_samples(stages):
    return stages.circuit, extreme_inputs(stages.quantized, Random(0), 6)


def is_proved(stages):
    """Tell whether the gates hold whatever the samples are."""
    return all(node.bound == "proved" for node in stages.quantized.of_type(Spiking))


def assert_same_spikes(circuit, other, x):
    """Compare two circuits whose populations have the same first neurons."""
    ours = run_stream(circuit, x, record=everything(circuit))
    theirs = run_stream(other, x, record=everything(other))
    np.testing.assert_array_equal(ours.readout, theirs.readout)
    for population in circuit.populations:
        name, neurons = population.name, population.shape[0]
        spikes = theirs.trace.spikes[name][..., :neurons]
        np.testing.assert_array_equal(ours.trace.spikes[name], spikes)
    return theirs.activity


any_perceptron = (
    st.builds(perceptron_stages, st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 9))
    .filter(is_proved)
    .map(circuit_and_samples)
)


@settings(deadline=None)
@given(any_perceptron)
def test_relays_change_no_spike_of_the_neurons(drawn):
    circuit, x = drawn

    activity = assert_same_spikes(circuit, relay_gates(circuit), x)

    assert not any(wraps.any() for wraps in activity.wraps.values())
    assert not any(overflows.any() for overflows in activity.saturations.values())


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["temporal", "spatial"]))
def test_windows_that_do_not_inhibit_one_another_fire_as_they_did(random, lowering):
    network = random_windows(random)
    memoryless = (dataclasses.replace(node, retention=0.0) for node in network.of_type(LmHt))
    network = network.swap(*memoryless)
    x = random_samples(network, random, 8)
    stages = compile_network(network, x, TARGETS["loihi2"], levels=1, lowering=lowering)
    circuit, x = circuit_and_samples(stages)
    assume(is_proved(stages))
    assume(all(len(population.shape) == 1 for population in circuit.populations))

    rewritten = relay_gates(circuit)

    assert_same_spikes(circuit, rewritten, x)


@settings(deadline=None, max_examples=30)
@given(any_perceptron)
def test_the_file_holds_all_of_it(tmp_path_factory, drawn):
    circuit, x = drawn

    (path,) = emit_netx(circuit, tmp_path_factory.mktemp("netx"))

    network = read_netx(path)
    assert network.notes == ()
    assert network.circuit.windows == circuit.windows
    assert network.circuit.sources[0].shape == x.shape[1:]
    assert_same_spikes(circuit, network.circuit, x)
    np.testing.assert_array_equal(run_netx(path, x).answer, run_samples(circuit, x).readout)


def test_the_random_perceptrons_spike_and_need_relays():
    circuit, x = perceptron(0, 3, 5)

    rewritten = relay_gates(circuit)

    assert len(circuit.populations) == 4
    counts = run_samples(circuit, x).counts
    assert all(spikes.any() for spikes in counts.values())
    sizes = [population.shape[0] for population in circuit.populations]
    with_relays = [population.shape[0] for population in rewritten.populations]
    assert [more > less for more, less in zip(with_relays, sizes, strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    assert [population.reset_offset for population in rewritten.populations] == [0, 1, 2, 3]


def test_no_two_relays_pass_on_the_same():
    circuit, x = perceptron(0, 4, 3)

    rewritten = relay_gates(circuit)

    spikes = run_samples(rewritten, x[:1], record=everything(rewritten)).trace.spikes
    neurons = [population.shape[0] for population in circuit.populations]
    names = [population.name for population in circuit.populations]
    passing = {}
    for here, after, own, driven in zip(names, names[1:], neurons, neurons[1:], strict=False):
        (synapse,) = (s for s in rewritten.into(after) if s.source == here)
        is_passing = ~synapse.weight[:driven, own:].any(axis=0)
        passing[here] = [tuple(train) for train in spikes[here][0][:, own:].T[is_passing]]
    assert [len(trains) > 0 for trains in passing.values()] == [True, True, False, False]
    assert all(len(set(trains)) == len(trains) for trains in passing.values())


def test_a_host_sends_the_clock_behind_the_sample(tmp_path):
    circuit, x = perceptron(0, 3, 5)
    (path,) = emit_netx(circuit, tmp_path)
    with h5py.File(path, "r+") as file:
        steps, values = file["clock/steps"][()], file["clock/values"][()]
        assert tuple(file["clock/sample_shape"]) == x.shape[1:]
        assert [group.attrs.get("relays", 0) > 0 for group in file["layer"].values()] == [
            False,  # the input
            True,
            True,
            False,
            False,
        ]
        del file["clock"]  # so that nobody else sends it
    network = read_netx(path).circuit
    sent = np.zeros((len(x), circuit.latency, *network.sources[0].shape), np.int64)

    sent[:, 0, : x.shape[1]] = x
    sent[:, steps, x.shape[1] :] += values

    last = network.populations[-1].name
    trace = simulate(network, {network.input: sent}, circuit.latency, record={last: ("v",)})
    ours = run_samples(circuit, x)
    np.testing.assert_array_equal(trace.v[last][:, circuit.readout.step], ours.readout)


@pytest.mark.lava
@pytest.mark.parametrize(
    ("hidden", "levels"),
    [
        (3, 3),
        pytest.param(1, 15, marks=pytest.mark.slow),
        pytest.param(4, 2, marks=pytest.mark.slow),
    ],
)
def test_every_spike_in_stock_netx_is_one_of_the_circuit(tmp_path, hidden, levels):
    if not is_lava_installed():
        pytest.skip("lava-nc is not installed")
    circuit, x = perceptron(0, hidden, levels)
    (path,) = emit_netx(circuit, tmp_path)

    stock = run_on_netx(path, circuit, x, record_state=[circuit.readout.population])

    ours = run_samples(circuit, x, record=everything(circuit))
    assert all(ours.trace.spikes[name].any() for name in circuit.windows)
    np.testing.assert_array_equal(stock.outputs, ours.readout)
    for name, spikes in ours.trace.spikes.items():
        np.testing.assert_array_equal(stock.spikes[name], spikes)


def test_a_circuit_without_gates_is_left_alone():
    circuit, _ = perceptron(0, 2, 3, lowering="spatial")

    assert relay_gates(circuit) is circuit


def test_samples_that_overlap_are_refused(tmp_path):
    circuit = scheduled(perceptron(0, 2, 4)[0], "pipelined")

    with pytest.raises(EmitError) as error:
        emit_netx(circuit, tmp_path)

    assert str(error.value) == (
        "emit at 'chain': takes a sample every 8 steps, and each for 10, so that populations "
        "are reset at different times; the stock netx reader resets each one step after the "
        "one before it\n"
        "  hint: compile with --schedule sequential; or write the format 'lava' instead: "
        "--format lava"
    )
    assert not list(tmp_path.iterdir())


def test_neurons_of_a_convolution_are_refused_by_name(tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 1, 2, 2))
    conv = Conv(name="conv", weight=kernel, bias=np.ones((3, 1, 1)))
    readout = Conv(name="readout", weight=rng.normal(size=(2, 3, 1, 1)))
    network = chain((1, 4, 5), conv, Relu(name="relu"), readout)
    circuit = compiled(network, rng, 4).circuit

    with pytest.raises(EmitError) as error:
        emit_netx(circuit, tmp_path)

    assert str(error.value) == (
        "emit at 'relu': of shape (3, 3, 4), has to be told when to fire; in a netx file only "
        "neurons of dense layers, (N,), can be\n"
        "  hint: write the format 'lava' instead: --format lava; or compile a network of one "
        "window with --lowering spatial"
    )
    assert not list(tmp_path.iterdir())


def changed(circuit, name, **fields):
    """Replace fields of the source, population or synapse of that name."""
    return dataclasses.replace(
        circuit,
        **{
            kind: tuple(
                dataclasses.replace(part, **fields) if part.name == name else part
                for part in getattr(circuit, kind)
            )
            for kind in ("sources", "populations", "synapses")
        },
    )


def gate_of(circuit, name):
    return circuit.nodes[f"{name}/gate"]


def with_events(circuit, name, change):
    events = change(gate_of(circuit, name).events)
    return changed(circuit, f"{name}/gate", events=tuple(events))


def loop_of(circuit, name):
    return next(s for s in circuit.into(name) if s.source == name)


def with_loop(circuit, name, change):
    loop = loop_of(circuit, name)
    weight = scipy.sparse.csr_matrix(change(loop.weight.toarray()))
    return changed(circuit, loop.name, weight=weight)


def tied(weight):
    weight[0, -1] = -1
    return weight


def freed(weight):
    weight[1, 1] = 0
    return weight


@pytest.mark.parametrize(
    ("change", "node", "found"),
    [
        (lambda c: changed(c, "relu0", decay_u=4096), "relu0", "a decay of u"),
        (lambda c: changed(c, "relu1", decay_v=0), "relu1", "a memory of v"),
        (lambda c: changed(c, "relu1", bias_mantissa=3), "relu1", "or a bias"),
        (lambda c: changed(c, "relu0", threshold=127), "relu0", "127 to 127; beside relays"),
        (
            lambda c: changed(c, "dense1/synapse", delay=np.array(1)),
            "dense1/synapse",
            "has delays",
        ),
        (lambda c: with_loop(c, "relu1", tied), "relu1/reset0", "more than self-inhibition"),
        (
            lambda c: with_loop(c, "relu1", lambda w: -w),
            "relu1/reset0",
            "more than self-inhibition",
        ),
        (lambda c: with_loop(c, "relu1", freed), "relu1", "for some neurons only"),
        (
            lambda c: with_events(c, "relu1", lambda e: e[:-1]),
            "relu1",
            "from step 5 on, and closed for good from step 9",
        ),
        (
            lambda c: with_events(c, "relu1", lambda e: [*e, (e[-1][0] + 1, e[1][1])]),
            "relu1",
            "closed for good",
        ),
        (
            lambda c: with_events(c, "relu1", lambda e: [*e[:2], (5, e[2][1]), *e[2:]]),
            "relu1",
            "open for all of its neurons",
        ),
        (
            lambda c: with_events(c, "relu1", lambda e: [(0, e[1][1]), *e[1:]]),
            "relu1",
            "can spike in step 1, before",
        ),
        (lambda c: dataclasses.replace(c, windows={}), "relu0", "spikes while input arrives"),
        (
            lambda c: dataclasses.replace(c, windows=c.windows | {"relu1": c.windows["relu0"]}),
            "relu1",
            "spikes while input arrives",
        ),
        (
            lambda c: dataclasses.replace(c, period=c.period - 1, latency=c.period - 1),
            "relu1",
            "relays need that by step",
        ),
    ],
)
def test_circuits_that_would_not_do_the_same_are_refused(tmp_path, change, node, found):
    circuit = change(perceptron(1, 2, 4)[0])

    with pytest.raises(EmitError, match=found) as error:
        emit_netx(circuit, tmp_path)

    assert error.value.node == node
    assert error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("steps", [-1, 3], "'steps': is"),
        ("steps", [[0, 3]], "'steps': is"),
        ("values", np.ones((9, 1)), "a row for each of"),
        ("values", np.ones((2, 1)) / 2, "not whole"),
        ("sample_shape", [0], "'sample_shape': is"),
        ("sample_shape", [1000], "for a sample of 1000 values"),
    ],
)
def test_a_damaged_clock_is_said(tmp_path, field, value, found):
    (path,) = emit_netx(perceptron(0, 1, 2)[0], tmp_path)
    with h5py.File(path, "r+") as file:
        del file[f"clock/{field}"]
        file[f"clock/{field}"] = value

    with pytest.raises(ImportModelError, match=found):
        read_netx(path)
