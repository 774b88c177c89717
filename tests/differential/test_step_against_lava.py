"""Step mode equals stock Lava's fixed-point models in every bit of u, v and spikes.

The circuits and Lava's traces are recorded under ``tests/golden/lava``. Everybody compares the
simulator with the records; where Lava is installed, it runs the recorded circuits anew, and
others made of them by shuffling weights, thresholds, biases, delays and input. The networks are
built here from Lava's processes, so that nothing of ours stands on both sides.
"""

from __future__ import annotations

import runpy
from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from targets.lava_compat import enable_lava
from targets.simulator.step import everything, simulate
from toolchain.ir.archive import load_archive
from toolchain.ir.mapped import Circuit, ConvSynapse, Injection, Lif, SparseSynapse
from toolchain.ir.sigma_delta import Delta, Sigma

GOLDEN = Path(__file__).parents[1] / "golden" / "lava"
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz"))


# A population (C, H, W) is (W, H, C) in Lava.


def run_on_lava(circuit, inputs):
    """Return u, v and spikes of every population, ``(time_steps, *shape)``, by register."""
    enable_lava()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    steps = next(iter(inputs.values())).shape[1]
    processes = {
        **{name: lava_source(values[0]) for name, values in inputs.items()},
        **{population.name: lava_population(population) for population in circuit.populations},
    }
    for synapse in circuit.synapses:
        connect_in_lava(circuit, synapse, processes)
    monitors = {
        (register, population.name): lava_monitor(target, steps)
        for population in circuit.populations
        for register, target in lava_registers(population, processes[population.name]).items()
    }
    process = processes[circuit.populations[0].name]
    try:
        process.run(
            condition=RunSteps(num_steps=steps),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        )
        return {key: monitored(monitor) for key, monitor in monitors.items()}
    finally:
        process.stop()


def to_lava(array, axes=3):
    """Reverse the last three axes, if there are three."""
    lead = array.ndim - axes
    if axes != 3 or lead < 0:
        return array
    return np.ascontiguousarray(array.transpose(*range(lead), lead + 2, lead + 1, lead))


def lava_source(values):
    from lava.proc.io.source import RingBuffer

    return RingBuffer(data=np.moveaxis(to_lava(values, values.ndim - 1), 0, -1))


def lava_population(population):
    from lava.proc.lif.process import LIF, LIFReset
    from lava.proc.sdn import process as sdn

    shape = population.shape[::-1]
    if isinstance(population, Sigma):
        return sdn.Sigma(shape=shape)
    threshold = lava_parameter(population.threshold, population.shape)
    if not isinstance(population, Lif):
        exponents = {
            "spike_exp": population.spike_exponent,
            "state_exp": population.state_exponent,
        }
        if isinstance(population, Delta):
            return sdn.Delta(shape=shape, vth=threshold, **exponents)
        bias = lava_parameter(population.bias, population.shape)
        return sdn.SigmaDelta(shape=shape, vth=threshold, bias=bias, **exponents)
    parameters = {
        "shape": shape,
        "du": lava_parameter(population.decay_u, population.shape) - 1,
        "dv": lava_parameter(population.decay_v, population.shape),
        "vth": threshold,
        "bias_mant": lava_parameter(population.bias_mantissa, population.shape),
        "bias_exp": population.bias_exponent,
    }
    if population.reset_interval is None:
        return LIF(**parameters)
    return LIFReset(
        reset_interval=population.reset_interval,
        reset_offset=population.reset_offset + 1,  # Lava's first step is 1
        **parameters,
    )


def lava_parameter(value, shape):
    if np.ndim(value) == 0:
        return int(value)
    return to_lava(np.broadcast_to(value, shape), len(shape))


def connect_in_lava(circuit, synapse, processes):
    from lava.proc.conv.process import Conv
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.sparse.process import Sparse

    source = circuit.nodes[synapse.source]
    sender, receiver = processes[synapse.source], processes[synapse.target]
    if isinstance(synapse, Injection):
        sender.s_out.connect(receiver.a_in)
        return
    bits = {"num_message_bits": getattr(source, "message_bits", 0)}
    if isinstance(synapse, ConvSynapse):
        process = Conv(
            weight=np.ascontiguousarray(synapse.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)),
            input_shape=source.shape[::-1],
            stride=synapse.stride[::-1],
            padding=synapse.padding[::-1],
            dilation=synapse.dilation[::-1],
            groups=synapse.groups,
            **bits,
        )
        sender.s_out.connect(process.s_in)
        process.a_out.connect(receiver.a_in)
        return
    order = to_lava(np.arange(np.prod(source.shape)).reshape(source.shape), len(source.shape))
    weight = synapse.weight[:, order.ravel()]
    given = {"weight_exp": synapse.weight_exponent, **bits}
    if isinstance(synapse, SparseSynapse):
        process = Sparse(weights=weight, **given)
    elif synapse.delay is None:
        process = Dense(weights=weight, **given)
    else:
        spread = np.broadcast_to(synapse.delay, weight.shape)[:, order.ravel()]
        process = DelayDense(weights=weight, delays=spread, **given)
    sent = sender.s_out.flatten() if len(source.shape) == 3 else sender.s_out
    sent.connect(process.s_in)
    process.a_out.connect(receiver.a_in)


def lava_registers(population, process):
    if isinstance(population, Lif):
        return {"u": process.u, "v": process.v, "spikes": process.s_out}
    if isinstance(population, Delta):
        return {"spikes": process.s_out}
    return {"v": process.sigma, "spikes": process.s_out}


def lava_monitor(target, steps):
    from lava.proc.monitor.process import Monitor

    monitor = Monitor()
    monitor.probe(target, steps)
    return monitor


def monitored(monitor):
    ((values,),) = (registers.values() for registers in monitor.get_data().values())
    return to_lava(values, values.ndim - 1).astype(np.int64)


def load_case(name):
    """Return circuit, inputs and Lava's traces of a recorded case."""
    path = GOLDEN / f"{name}.npz"
    inputs, traces = {}, {}
    with np.load(path) as archive:
        for key in archive:
            register, _, node = key.partition("/")
            if register == "input":
                inputs[node] = archive[key][None].astype(np.int64)
            elif node:
                traces[register, node] = archive[key]
    return load_archive(path, Circuit), inputs, traces


def shuffled(value, random):
    """Return ``value`` with the entries of each of its arrays in another order.

    Signs and parity of weights, and the range of everything, stay as they are.
    """
    if isinstance(value, scipy.sparse.csr_matrix):
        entries = value.toarray().ravel()
        return scipy.sparse.csr_matrix(random.permutation(entries).reshape(value.shape))
    if isinstance(value, np.ndarray):
        return random.permutation(value.ravel()).reshape(value.shape)
    if is_dataclass(value):
        return replace(value, **{k: shuffled(v, random) for k, v in vars(value).items()})
    if isinstance(value, tuple):
        return tuple(shuffled(part, random) for part in value)
    return value


def assert_equal_traces(circuit, inputs, expected):
    steps = next(iter(expected.values())).shape[0]
    trace = simulate(circuit, inputs, steps, record=everything(circuit))

    for (register, name), values in expected.items():
        found = getattr(trace, register)[name][0]
        np.testing.assert_array_equal(found, values, err_msg=f"{register} of {name}")


@pytest.mark.parametrize("case", CASES)
def test_the_simulator_does_what_lava_was_recorded_to_do(case):
    assert_equal_traces(*load_case(case))


@pytest.mark.lava
@pytest.mark.parametrize("case", CASES)
def test_lava_does_what_it_was_recorded_to_do(case):
    circuit, inputs, expected = load_case(case)

    found = run_on_lava(circuit, inputs)

    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=" of ".join(key))


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_the_simulator_equals_lava_on_shuffled_circuits(case, seed):
    random = np.random.default_rng(seed)
    recorded, inputs, _ = load_case(case)
    circuit = shuffled(recorded, random)
    others = {name: shuffled(values, random) for name, values in inputs.items()}

    expected = run_on_lava(circuit, others)

    assert_equal_traces(circuit, others, expected)


def test_every_case_is_recorded_and_nothing_else_is():
    facts = {path.stem for path in GOLDEN.glob("*.json")}
    drawn = runpy.run_path(str(GOLDEN / "record.py"))["CASES"]

    assert set(CASES) == facts == drawn.keys()


def test_every_population_of_every_case_spikes():
    silent = [
        (case, name)
        for case in CASES
        for (register, name), values in load_case(case)[2].items()
        if register == "spikes" and not values.any()
    ]

    assert not silent


def test_the_recorded_cases_leave_the_registers_in_every_way():
    circuit, inputs, expected = load_case("overflows")

    activity = simulate(circuit, inputs, expected["u", "a"].shape[0]).activity

    assert all(activity.wraps[name] > 0 for name in ("a", "b", "c", "d", "conv"))
    assert all(activity.saturations[name] > 0 for name in ("a", "b", "c", "d"))
    assert np.abs(expected["u", "b"].astype(np.int64)).max() > 1 << 23
