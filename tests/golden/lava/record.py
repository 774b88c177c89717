"""Draw the circuits of the recorded cases and write down what stock Lava does with them.

    python tests/golden/lava/record.py

Each case provokes one kind of behaviour. ``<case>.npz`` holds the circuit, what its sources
send and Lava's traces, ``<case>.json`` where they come from. No test draws them again.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse

from toolchain.ir.archive import save_archive
from toolchain.ir.convolution import output_size
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Injection,
    Lif,
    Source,
    SparseSynapse,
)
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta

HERE = Path(__file__).parent
TEST = HERE.parents[1] / "differential" / "test_step_against_lava.py"
SEED = 0
TIME_STEPS = 17


def joined(sources, populations, synapses):
    """Return a circuit whose timetable plays no part."""
    return Circuit(
        name="case",
        sources=tuple(sources),
        populations=tuple(populations),
        synapses=tuple(synapses),
        inputs=(sources[0].name,),
        period=TIME_STEPS,
        latency=TIME_STEPS,
    )


def spikes(random, shape, rate=0.3):
    return (random.random((1, TIME_STEPS, *shape)) < rate).astype(np.int64)


def payloads(random, shape, bits, rate=0.3):
    limit = 1 << (bits - 1)
    values = random.integers(-limit, limit, (1, TIME_STEPS, *shape))
    return values * spikes(random, shape, rate)


def matrix(random, outputs, inputs, sign=0):
    """Draw weights as the chip holds them: mixed and even, or of one sign."""
    if sign == 0:
        return 2 * random.integers(-128, 128, (outputs, inputs))
    return sign * random.integers(0, 256, (outputs, inputs))


def sparse(random, outputs, inputs, density=0.2):
    weight = matrix(random, outputs, inputs) * (random.random((outputs, inputs)) < density)
    return scipy.sparse.csr_matrix(weight)


def lif(random, name, shape, **given):
    """Draw the registers of a population; ``given`` fixes some of them."""
    drawn = {
        "threshold": int(random.integers(1, 2000)),
        "decay_u": int(random.choice([0, 1, 409, 2048, 4095, 4096])),
        "decay_v": int(random.choice([0, 3, 128, 1024, 4095, 4096])),
        "bias_mantissa": random.integers(-500, 4000, shape),
        "bias_exponent": int(random.integers(-3, 6)),
    }
    return Lif(name=name, shape=shape, **{**drawn, **given})


def kernel(random, name, source, target, shape, **geometry):
    """Draw a convolution with a weight of ``shape``."""
    weight = random.integers(-128, 128, shape)
    return ConvSynapse(name=name, source=source, target=target, weight=weight, **geometry)


def produced(shape, synapse):
    """Return the shape of what a convolution makes of ``shape``."""
    vertical, horizontal = synapse.padding
    padding = ((vertical, vertical), (horizontal, horizontal))
    kernel_size = synapse.weight.shape[2:]
    size = output_size(shape[1:], kernel_size, synapse.stride, padding, synapse.dilation)
    return (len(synapse.weight), *size)


def dense(random, source, target, shape, **given):
    name = f"{source}->{target}"
    weight = matrix(random, *shape)
    return DenseSynapse(name=name, source=source, target=target, weight=weight, **given)


def registers(random):
    """Thresholds, decays and biases of a population or of a neuron; weights of all signs."""
    decays = {name: random.integers(0, 4097, (9,)) for name in ("decay_u", "decay_v")}
    populations = [
        lif(random, "a", (9,), threshold=random.integers(0, 4000, (9,))),
        lif(random, "b", (9,), bias_mantissa=-300, bias_exponent=6, **decays),
        lif(random, "c", (9,), bias_mantissa=3000, bias_exponent=5, decay_u=4096),
        lif(random, "d", (9,)),
    ]
    signs = {"a": 0, "b": 1, "c": -1, "d": 0}
    synapses = [
        DenseSynapse(
            name=f"in->{name}", source="in", target=name, weight=matrix(random, 9, 12, sign)
        )
        for name, sign in signs.items()
    ]
    source = Source(name="in", shape=(12,))
    return joined([source], populations, synapses), {"in": spikes(random, (12,))}


def loops(random):
    """Populations that drive each other and themselves, with all kinds of exponents."""
    sizes = {"in": 6, "a": 8, "b": 5, "c": 7}
    pairs = ["in a", "a b", "b c", "c a", "a a", "b b", "in c"]
    populations = [lif(random, name, (sizes[name],), threshold=300) for name in "abc"]
    synapses = [
        dense(
            random,
            source,
            target,
            (sizes[target], sizes[source]),
            weight_exponent=int(random.integers(-5, 5)),
        )
        for source, target in map(str.split, pairs)
    ]
    source = Source(name="in", shape=(6,))
    return joined([source], populations, synapses), {"in": spikes(random, (6,), 0.5)}


def sparsity(random):
    """Sparse matrices, a diagonal, one entry per row, an empty one, and graded input."""
    sources = [Source(name="in", shape=(24,), message_bits=5), Source(name="gate", shape=(1,))]
    populations = [lif(random, "a", (30,)), lif(random, "b", (30,), threshold=20)]
    relay = np.zeros((30, 30), np.int64)
    relay[np.arange(0, 30, 2), random.permutation(30)[:15]] = 200
    weights = {
        "in a": sparse(random, 30, 24),
        "a a": scipy.sparse.csr_matrix(-130 * np.eye(30, dtype=np.int64)),
        "a b": scipy.sparse.csr_matrix(relay),
        "gate b": scipy.sparse.csr_matrix(np.full((30, 1), -7)),
        "b b": sparse(random, 30, 30, 0.03),
        "b a": sparse(random, 30, 30, 0.0),
    }
    synapses = [
        SparseSynapse(
            name=pair.replace(" ", "->"),
            source=pair.split()[0],
            target=pair.split()[1],
            weight=weight,
            weight_exponent=int(random.integers(-2, 3)),
        )
        for pair, weight in weights.items()
    ]
    inputs = {"in": payloads(random, (24,), 5), "gate": spikes(random, (1,))}
    return joined(sources, populations, synapses), inputs


def delays(random):
    """Delays per input, output and connection; sums are shifted down delay by delay."""
    sources = [Source(name="in", shape=(10,), message_bits=4), Source(name="bits", shape=(6,))]
    populations = [lif(random, "a", (8,), threshold=30), lif(random, "b", (5,), threshold=200)]
    synapses = [
        dense(
            random,
            source,
            target,
            shape,
            weight_exponent=int(random.integers(-4, 2)),
            delay=random.choice([0, 1, 2, 7, 12], delayed),
        )
        for source, target, shape, delayed in (
            ("in", "a", (8, 10), (10,)),
            ("bits", "a", (8, 6), (6,)),
            ("a", "b", (5, 8), (5, 8)),
            ("b", "b", (5, 5), (5, 1)),
        )
    ]
    inputs = {"in": payloads(random, (10,), 4), "bits": spikes(random, (6,))}
    return joined(sources, populations, synapses), inputs


def convolutions(random):
    """Strides, paddings, dilations, groups, depthwise and one-by-one kernels, and loops."""
    shape = (4, 5, 4)
    first = kernel(
        random, "first", "in", "a", (4, 4, 3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)
    )
    second = kernel(random, "second", "a", "b", (4, 2, 2, 3), padding=(1, 0), groups=2)
    third = kernel(random, "third", "b", "c", (4, 1, 2, 2), stride=(2, 2), groups=4)
    a = lif(random, "a", produced(shape, first), threshold=400)
    b = lif(random, "b", produced(a.shape, second), decay_u=0, decay_v=4096, threshold=100)
    c = lif(random, "c", produced(b.shape, third), threshold=random.integers(0, 300, (4, 1, 1)))
    own = np.eye(4, dtype=np.int64)[:, :, None, None]
    synapses = [
        first,
        second,
        third,
        ConvSynapse(name="inhibition", source="b", target="b", weight=-100 * own),
        kernel(random, "loop", "a", "a", (4, 4, 3, 3), padding=(1, 1)),
        dense(random, "c", "d", (5, int(np.prod(c.shape)))),
    ]
    populations = [a, b, c, lif(random, "d", (5,), threshold=100)]
    source = Source(name="in", shape=shape)
    return joined([source], populations, synapses), {"in": spikes(random, shape)}


def graded(random):
    """Signed payloads of eight bits into every kind of synapse, one onto another's target."""
    sources = [
        Source(name="in", shape=(2, 4, 4), message_bits=8),
        Source(name="gate", shape=(1, 4, 4), message_bits=8),
        Source(name="flat", shape=(20,), message_bits=8),
    ]
    all_positive = matrix(random, 6, 20, 1)
    synapses = [
        kernel(random, "conv", "in", "a", (3, 2, 3, 3), padding=(1, 1)),
        kernel(random, "gating", "gate", "a", (3, 1, 1, 1)),
        DenseSynapse(name="dense", source="flat", target="b", weight=all_positive),
        SparseSynapse(name="sparse", source="flat", target="b", weight=sparse(random, 6, 20)),
        SparseSynapse(name="joint", source="a", target="b", weight=sparse(random, 6, 48)),
    ]
    populations = [lif(random, "a", (3, 4, 4)), lif(random, "b", (6,))]
    inputs = {source.name: payloads(random, source.shape, 8, 0.2) for source in sources}
    return joined(sources, populations, synapses), inputs


def overflows(random):
    """Let u wrap once and more often, v saturate at both ends, sums of convolutions wrap."""
    sources = [
        Source(name="in", shape=(6,), message_bits=11),
        Source(name="image", shape=(2, 3, 3), message_bits=20),
    ]
    populations = [
        lif(random, "a", (12,), decay_u=0, decay_v=0, threshold=131071),
        lif(random, "b", (12,), decay_u=409, decay_v=3, bias_mantissa=-30000, bias_exponent=7),
        lif(random, "c", (3, 3, 3), decay_u=4096, decay_v=4096, threshold=60000),
        lif(
            random, "d", (12,), decay_u=4095, decay_v=128, bias_mantissa=32767, bias_exponent=8
        ),
    ]
    synapses = [
        dense(random, "in", "a", (12, 6)),
        dense(random, "in", "b", (12, 6), weight_exponent=1),
        dense(random, "in", "d", (12, 6), weight_exponent=3),
        dense(random, "c", "d", (12, 27)),
        kernel(random, "conv", "image", "c", (3, 2, 3, 3), padding=(1, 1)),
    ]
    inputs = {"in": payloads(random, (6,), 11), "image": payloads(random, (2, 3, 3), 20, 0.2)}
    return joined(sources, populations, synapses), inputs


def edges(random):
    """Let u land exactly on, just below and just above the ends of its register."""
    ends = np.array([131071, 131072, 131073, 1, 0, 262144, 393216, 393215])
    source = Source(name="in", shape=(16,), message_bits=21)
    one_to_one = scipy.sparse.csr_matrix(np.eye(16, dtype=np.int64))
    synapse = SparseSynapse(name="in->a", source="in", target="a", weight=one_to_one)
    values = np.zeros((1, TIME_STEPS, 16), np.int64)
    values[0, 0] = np.concatenate([ends, -ends])
    values[0, 1::3] = random.integers(-3, 4, values[0, 1::3].shape)
    a = lif(random, "a", (16,), decay_u=0, decay_v=128, threshold=131071, bias_mantissa=0)
    return joined([source], [a], [synapse]), {"in": values}


def resets(random):
    """Periodic resets of all phases, with input and bias in the very step of the reset."""
    populations = [
        lif(random, f"lif{offset}", (7,), threshold=99, reset_interval=5, reset_offset=offset)
        for offset in range(5)
    ]
    populations.append(lif(random, "always", (7,), threshold=50, reset_interval=1))
    synapses = [dense(random, "in", population.name, (7, 5)) for population in populations]
    source = Source(name="in", shape=(5,))
    return joined([source], populations, synapses), {"in": spikes(random, (5,), 0.4)}


def integrate_then_fire(random):
    """Lower a multi-threshold neuron: gate, self-inhibition, periodic reset, and an OR."""
    shape, threshold, period = (2, 4, 4), 90, 9
    own = np.eye(2, dtype=np.int64)[:, :, None, None]
    ones, hundred = np.ones((2, 1, 2, 2), np.int64), np.full((2, 1, 1, 1), 100)
    synapses = [
        kernel(random, "conv", "in", "a", (2, 2, 3, 3), padding=(1, 1)),
        ConvSynapse(name="inhibition", source="a", target="a", weight=-threshold * own),
        ConvSynapse(name="gating", source="gate", target="a", weight=hundred),
        ConvSynapse(
            name="a->or", source="a", target="or", weight=ones, stride=(2, 2), groups=2
        ),
    ]
    fires = lif(random, "a", shape, threshold=threshold - 1, decay_u=0, decay_v=4096)
    populations = [
        replace(fires, bias_mantissa=-4000, bias_exponent=6, reset_interval=period),
        Lif(name="or", shape=(2, 2, 2), threshold=0, decay_u=4096, decay_v=4096),
    ]
    values = np.zeros((1, TIME_STEPS, *shape), np.int64)
    values[0, ::period] = random.integers(-7, 8, values[0, ::period].shape)
    gates = np.zeros((1, TIME_STEPS, 1, 4, 4), np.int64)
    gates[0, 2::period], gates[0, 7::period] = 40, -40
    sources = [
        Source(name="in", shape=shape, message_bits=4),
        Source(name="gate", shape=(1, 4, 4), message_bits=8),
    ]
    return joined(sources, populations, synapses), {"in": values, "gate": gates}


def sigma_delta(random):
    """Changes instead of spikes: all three populations, and current injected by the host."""
    shape = (2, 5, 4)
    conv = kernel(random, "conv", "delta", "sigma delta", (3, 2, 3, 3), padding=(1, 0))
    inner = produced(shape, conv)
    places = {"spike_exponent": 3, "state_exponent": 6}
    bias = random.integers(-500, 500, inner)
    populations = [
        Delta(name="delta", shape=shape, threshold=5, **places),
        SigmaDelta(name="sigma delta", shape=inner, threshold=20, bias=bias, **places),
        Sigma(name="sigma", shape=(4,)),
    ]
    synapses = [
        Injection(name="host", source="in", target="delta", register="a"),
        conv,
        dense(random, "sigma delta", "sigma", (4, int(np.prod(inner))), weight_exponent=-3),
    ]
    walk = np.cumsum(random.integers(-6, 7, (1, TIME_STEPS, *shape)), axis=1)
    source = Source(name="in", shape=shape, message_bits=16)
    return joined([source], populations, synapses), {"in": walk}


CASES = {
    draw.__name__: draw
    for draw in (
        registers,
        loops,
        sparsity,
        delays,
        convolutions,
        graded,
        overflows,
        edges,
        resets,
        integrate_then_fire,
        sigma_delta,
    )
}


def record(name, run_on_lava):
    """Write ``<name>.npz`` and ``<name>.json``."""
    circuit, inputs = CASES[name](np.random.default_rng([SEED, *name.encode()]))
    path = HERE / f"{name}.npz"
    save_archive(circuit, path)
    with np.load(path) as archive:
        entries = dict(archive)
    for source, values in inputs.items():
        entries[f"input/{source}"] = narrowed(values[0])
    for (register, population), values in run_on_lava(circuit, inputs).items():
        entries[f"{register}/{population}"] = narrowed(values)
    np.savez_compressed(path, **entries)
    facts = {
        "command": "python tests/golden/lava/record.py",
        "seed": SEED,
        "versions": {
            "lava-nc": importlib.metadata.version("lava-nc"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


def narrowed(array):
    """Return ``array`` in the narrowest type that holds it."""
    kinds = (np.int8, np.int16, np.int32)
    return array.astype(next(k for k in kinds if np.array_equal(array, array.astype(k))))


if __name__ == "__main__":
    on_lava = runpy.run_path(str(TEST))["run_on_lava"]
    for case in CASES:
        record(case, on_lava)
