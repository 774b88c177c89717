"""Step mode follows the equations of `toolchain.ir.mapped`, whatever short cuts it takes.

It skips populations that do not change, adds up copies of a unit, merges synapses, multiplies
in floats and looks at registers only when bounds say so. Here the equations are written down
once more, one step and one synapse after the other in 64 bits, and random circuits give every
short cut a reason.
"""

import numpy as np
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from targets.simulator.step import everything, simulate
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Source,
    SparseSynapse,
)

TIME_STEPS = 14
LIMIT = 2**23


# The equations


def by_the_equations(circuit, inputs):
    """Return u, v, spikes, wraps and saturations, by register and population."""
    batch = len(next(iter(inputs.values())))
    sent = {name: list(np.moveaxis(values, 1, 0)) for name, values in inputs.items()}
    sent |= {population.name: [] for population in circuit.populations}
    state = {
        population.name: np.zeros((2, batch, *population.shape), np.int64)
        for population in circuit.populations
    }
    traces = {}
    for t in range(TIME_STEPS):
        new = {
            population.name: step(circuit, population, state[population.name], sent, t)
            for population in circuit.populations
        }
        for name, (u, v, spikes, wraps, saturations) in new.items():
            state[name] = np.stack([u, v])
            sent[name].append(spikes)
            found = {
                "u": u,
                "v": v,
                "spikes": spikes,
                "wraps": wraps,
                "saturations": saturations,
            }
            for register, values in found.items():
                traces.setdefault((register, name), []).append(values)
    return {key: np.stack(values, axis=1) for key, values in traces.items()}


def step(circuit, lif, state, sent, t):
    u, v = state
    if lif.reset_interval and t % lif.reset_interval == lif.reset_offset:
        u, v = 0 * u, 0 * v
    u = kept(u, lif.decay_u)
    for synapse in circuit.into(lif.name):
        u = u + (arriving(circuit, synapse, sent[synapse.source], t, u.shape) << 6)
    wraps = (u > LIMIT) | (u <= -LIMIT)
    u = np.where(u > LIMIT, u - 2 * LIMIT, np.where(u <= -LIMIT, u + 2 * LIMIT, u))
    scale = lif.bias_exponent
    mantissa = np.asarray(lif.bias_mantissa)
    bias = mantissa << scale if scale >= 0 else mantissa >> -scale
    v = kept(v, lif.decay_v) + u + bias
    saturations = np.abs(v) >= LIMIT
    v = np.clip(v, 1 - LIMIT, LIMIT - 1)
    spikes = v > np.asarray(lif.threshold) << 6
    return u, np.where(spikes, 0, v), spikes, wraps, saturations


def kept(x, lost):
    return np.sign(x) * (np.abs(x) * (4096 - lost) >> 12)


def arriving(circuit, synapse, sent, t, shape):
    """Return what a synapse delivers in step ``t``, ``(batch, *target shape)``."""
    if isinstance(synapse, ConvSynapse):
        return convolved(synapse, sent[t - 1], shape) if t else np.zeros(shape, np.int64)
    weight = synapse.weight
    weight = weight.toarray() if scipy.sparse.issparse(weight) else weight
    delay = getattr(synapse, "delay", None)
    delay = np.broadcast_to(0 if delay is None else delay, weight.shape)
    total = np.zeros((shape[0], len(weight)), np.int64)
    for steps in range(min(delay.max() + 1, t)):
        spikes = sent[t - 1 - steps].reshape(shape[0], -1).astype(np.int64)
        total += shifted(
            spikes @ np.where(delay == steps, weight, 0).T, synapse.weight_exponent
        )
    return total.reshape(shape)


def shifted(a, exponent):
    return a << exponent if exponent >= 0 else a >> -exponent


def convolved(synapse, spikes, shape):
    (vertical, horizontal), (down, right) = synapse.padding, synapse.stride
    padded = np.pad(
        spikes.astype(np.int64), ((0, 0), (0, 0), (vertical,) * 2, (horizontal,) * 2)
    )
    out = np.zeros(shape, np.int64)
    per_group = synapse.weight.shape[1]
    for c, y, x in np.ndindex(*shape[1:]):
        first = c * synapse.groups // shape[1] * per_group
        for k, i, j in np.ndindex(*synapse.weight.shape[1:]):
            row, column = (
                y * down + i * synapse.dilation[0],
                x * right + j * synapse.dilation[1],
            )
            out[:, c, y, x] += synapse.weight[c, k, i, j] * padded[:, first + k, row, column]
    return (out + LIMIT) % (2 * LIMIT) - LIMIT


# Random circuits


def draw_lif(random, name, shape):
    interval = random.choice([None, 1, 5])
    return Lif(
        name=name,
        shape=shape,
        threshold=int(random.choice([0, 5, 60, 131071])),
        decay_u=int(random.choice([0, 0, 700, 4096])),
        decay_v=int(random.choice([0, 300, 4096, 4096])),
        bias_mantissa=random.choice([0, 1, -1]) * random.integers(0, 20000, shape),
        bias_exponent=int(random.choice([-4, 0, 3, 9])),
        reset_interval=interval,
        reset_offset=0 if interval is None else int(random.integers(interval)),
    )


def diagonal(name, source, random, neurons, exponent):
    entries = np.diag(-random.integers(0, 128, neurons))
    weight = scipy.sparse.csr_matrix(entries)
    return SparseSynapse(
        name=name, source=source, target=source, weight=weight, weight_exponent=exponent
    )


def draw_circuit(random):
    """Units of several copies, driven by one source in bursts, in convolutions and matrices."""
    copies, bits = int(random.choice([1, 2, 4])), int(random.choice([0, 4, 12]))
    a = draw_lif(random, "a", (2 * copies, 4, 3))
    b = draw_lif(random, "b", (3, 4, 3))
    pool = draw_lif(random, "pool", (2 * copies, 2, 3))
    c = draw_lif(random, "c", (4 * copies,))
    first = np.repeat(random.integers(-128, 128, (2, 3, 3, 3)), copies, 0)
    second = np.repeat(random.integers(-128, 128, (3, 2, 3, 1)), copies, 1)
    block = np.zeros((2 * copies, copies, 2, 1), np.int64)
    block[np.arange(2 * copies), np.arange(2 * copies) % copies] = random.integers(1, 3)
    by_unit = 2 * random.integers(-128, 128, (4, 2, 12))
    dense = np.repeat(np.repeat(by_unit, copies, 1).reshape(4, -1), copies, 0)
    exponent = int(random.choice([-3, -1, 0, 2]))
    relay = np.zeros((4 * copies, 36), np.int64)
    relay[np.arange(4 * copies), random.integers(0, 36, 4 * copies)] = 255
    rounded = random.integers(0, 256, (4 * copies, 36))
    return Circuit(
        name="random",
        sources=(Source(name="in", shape=(3, 4, 3), message_bits=bits),),
        populations=(a, b, pool, c),
        synapses=(
            ConvSynapse(name="in->a", source="in", target="a", weight=first, padding=(1, 1)),
            ConvSynapse(name="a->b", source="a", target="b", weight=second, padding=(1, 0)),
            diagonal("low digits", "a", random, 24 * copies, 0),
            diagonal("high digits", "a", random, 24 * copies, 7),
            ConvSynapse(
                name="a->pool", source="a", target="pool", weight=block, stride=(2, 1), groups=2
            ),
            DenseSynapse(
                name="a->c", source="a", target="c", weight=dense, weight_exponent=exponent
            ),
            DenseSynapse(
                name="b->c", source="b", target="c", weight=rounded, weight_exponent=-5
            ),
            SparseSynapse(
                name="relay", source="b", target="c", weight=scipy.sparse.csr_matrix(relay)
            ),
            DenseSynapse(
                name="late",
                source="c",
                target="c",
                weight=-random.integers(0, 256, (4 * copies, 4 * copies)),
                weight_exponent=exponent,
                delay=random.integers(0, 4, (4 * copies, 4 * copies)),
            ),
        ),
        inputs=("in",),
        period=TIME_STEPS,
        latency=TIME_STEPS,
    )


def draw_input(random, source):
    """Return input in bursts; whole steps are silent, for some samples or for all."""
    shape = (3, TIME_STEPS, *source.shape)
    half = 1 << max(source.message_bits - 1, 0)
    values = random.integers(-half, half, shape) if source.message_bits else np.ones(shape, int)
    speaks = random.random((3, TIME_STEPS, 1, 1, 1)) < 0.3
    return values * speaks * (random.random(shape) < 0.3)


@given(st.integers(0, 2**32))
def test_every_register_and_spike_is_that_of_the_equations(seed):
    random = np.random.default_rng(seed)
    circuit = draw_circuit(random)
    inputs = {"in": draw_input(random, circuit.sources[0])}

    trace = simulate(circuit, inputs, TIME_STEPS, record=everything(circuit))

    expected = by_the_equations(circuit, inputs)
    for population in circuit.populations:
        name = population.name
        np.testing.assert_array_equal(trace.u[name], expected["u", name])
        np.testing.assert_array_equal(trace.v[name], expected["v", name])
        np.testing.assert_array_equal(trace.spikes[name], expected["spikes", name])
        for register in ("wraps", "saturations", "spikes"):
            counted = expected[register, name].reshape(3, -1).sum(axis=1)
            np.testing.assert_array_equal(getattr(trace.activity, register)[name], counted)


@given(st.integers(0, 2**32))
def test_samples_side_by_side_do_not_see_each_other(seed):
    random = np.random.default_rng(seed)
    circuit = draw_circuit(random)
    inputs = draw_input(random, circuit.sources[0])
    record = everything(circuit)

    together = simulate(circuit, {"in": inputs}, TIME_STEPS, record=record)
    alone = simulate(circuit, {"in": inputs[1:2]}, TIME_STEPS, record=record)

    for name in record:
        np.testing.assert_array_equal(together.v[name][1:2], alone.v[name])
        np.testing.assert_array_equal(together.spikes[name][1:2], alone.spikes[name])
