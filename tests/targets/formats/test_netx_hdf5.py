"""A spatial circuit written as netx comes back as it was, here and in stock netx."""

import dataclasses
import hashlib
import time

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.formats.netx_hdf5 import emit_netx
from targets.lava_compat import is_lava_installed
from targets.netx.reader import read_netx
from targets.netx.run import run_on_netx
from targets.simulator.step import everything, run_stream
from toolchain.errors import EmitError
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Readout,
    Source,
    SparseSynapse,
    Window,
)
from toolchain.ir.radix import Radix

MEMORYLESS = {"decay_u": 4096, "decay_v": 4096}


def lif(name, shape, rng):
    """Return memoryless neurons with thresholds and biases of channels, of neurons, or one."""
    shapes = [shape, (shape[0], *(1 for _ in shape[1:])), (1,)]
    return Lif(
        name=name,
        shape=shape,
        threshold=rng.integers(20, 61, shapes[rng.integers(3)]),
        bias_mantissa=rng.integers(-60, 61, shapes[rng.integers(3)]),
        **MEMORYLESS,
    )


def conv(name, source, target, weight, **geometry):
    return ConvSynapse(name=name, source=source, target=target, weight=weight, **geometry)


def dense(name, source, target, weight, exponent=0, delay=None):
    return DenseSynapse(
        name=name,
        source=source,
        target=target,
        weight=np.asarray(weight),
        weight_exponent=exponent,
        delay=delay,
    )


def convolutional(rng):
    """Return a circuit with a strided convolution, an OR pool and a readout."""
    height, width, channels = rng.integers(5, 9), rng.integers(5, 9), 4
    kernel = rng.integers(1, 4, 2)
    stride, padding = rng.integers(1, 3, 2), rng.integers(0, 2, 2)
    after = [
        (size + 2 * pad - k) // step + 1
        for size, pad, k, step in zip((height, width), padding, kernel, stride, strict=True)
    ]
    pooled = [size // 2 if size > 1 else 1 for size in after]
    pool = [2 if size > 1 else 1 for size in after]
    pool_weight = np.zeros((channels, 2, *pool), np.int64)
    pool_weight[range(channels), [0, 1, 0, 1]] = 1
    readout = rng.integers(-127, 128, (3, channels * pooled[0] * pooled[1]))
    return Circuit(
        name="net",
        sources=(Source(name="x", shape=(2, int(height), int(width)), message_bits=8),),
        populations=(
            lif("a", (channels, *map(int, after)), rng),
            Lif(name="or", shape=(channels, *pooled), threshold=0, **MEMORYLESS),
            Lif(name="out", shape=(3,), threshold=131071, **MEMORYLESS),
        ),
        synapses=(
            dense("or>out", "or", "out", 2 * readout, -1),
            conv(
                "x>a",
                "x",
                "a",
                rng.integers(-128, 128, (channels, 2, *kernel)),
                stride=tuple(map(int, stride)),
                padding=tuple(map(int, padding)),
            ),
            conv("a>or", "a", "or", pool_weight, stride=tuple(pool), groups=2),
        ),
        inputs=("x",),
        period=1,
        latency=4,
        windows={"a": Window(1, 1, 2), "or": Window(2, 1, 2)},
        readouts=(Readout("out", 3),),
    )


def layered(rng, is_image=False):
    """Return a circuit of dense layers, with delays in one."""
    shape = (2, 3, 2) if is_image else (12,)
    return Circuit(
        name="mlp",
        sources=(Source(name="x", shape=shape, message_bits=int(rng.integers(0, 3)) * 8),),
        populations=(
            lif("a", (8,), rng),
            lif("b", (6,), rng),
            Lif(name="out", shape=(3,), threshold=131071, **MEMORYLESS),
        ),
        synapses=(
            dense("x>a", "x", "a", rng.integers(0, 128, (8, 12)), int(rng.integers(0, 2))),
            dense("a>b", "a", "b", 2 * rng.integers(-128, 128, (6, 8))),
            dense("b>out", "b", "out", -rng.integers(65, 128, (3, 6)), 1),
        ),
        inputs=("x",),
        period=1,
        latency=4,
        readouts=(Readout("out", 3),),
    )


def delayed(rng):
    """Return a circuit with delays where a vector could be per input or per output."""
    circuit = layered(rng)
    weight = 2 * rng.integers(-64, 64, (8, 8))
    return dataclasses.replace(
        circuit,
        populations=(*circuit.populations[:1], lif("b", (8,), rng), *circuit.populations[2:]),
        synapses=(
            circuit.synapses[0],
            dense("a>b", "a", "b", weight, delay=rng.integers(0, 5, 8)),
            dense("b>out", "b", "out", weight[:3]),
        ),
        period=8,
        latency=8,
    )


def looped(rng):
    """Return a circuit that subtracts a threshold after each spike, reset after each sample."""
    reset = {"reset_interval": 9}
    return Circuit(
        name="loop",
        sources=(Source(name="x", shape=(7,), message_bits=8),),
        populations=(
            Lif(name="a", shape=(5,), threshold=99, decay_v=4096, reset_offset=1, **reset),
            Lif(
                name="out", shape=(3,), threshold=131071, decay_v=4096, reset_offset=2, **reset
            ),
        ),
        synapses=(
            dense("x>a", "x", "a", 2 * rng.integers(-60, 61, (5, 7))),
            SparseSynapse(
                name="a>a",
                source="a",
                target="a",
                weight=scipy.sparse.csr_matrix(np.diag(np.full(5, -100))),
            ),
            dense("a>out", "a", "out", 2 * rng.integers(-60, 61, (3, 5))),
        ),
        inputs=("x",),
        period=9,
        latency=9,
        readouts=(Readout("out", 8),),
    )


KINDS = [convolutional, layered, lambda rng: layered(rng, is_image=True), delayed, looped]


def effective(synapse):
    """Return what one spike adds to each neuron, as a matrix or kernel of numbers."""
    weight = synapse.weight
    if scipy.sparse.issparse(weight):
        weight = weight.toarray()
    return weight * 2.0 ** getattr(synapse, "weight_exponent", 0)


def neurons_of(population):
    """Return threshold and bias of every neuron."""
    numbers = (population.threshold, population.bias_mantissa)
    return [np.broadcast_to(number, population.shape) for number in numbers]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_a_circuit_comes_back_from_its_file(tmp_path_factory, seed, kind):
    circuit = kind(np.random.default_rng(seed))

    (path,) = emit_netx(circuit, tmp_path_factory.mktemp("netx"))
    network = read_netx(path)

    back = network.circuit
    assert network.notes == ()
    assert (back.name, back.period, back.latency) == (
        circuit.name,
        circuit.period,
        circuit.latency,
    )
    assert (back.readout, back.windows) == (circuit.readout, circuit.windows)
    assert back.sources[0].shape == circuit.sources[0].shape
    assert back.sources[0].message_bits == circuit.sources[0].message_bits
    for ours, theirs in zip(circuit.populations, back.populations, strict=True):
        for field in dataclasses.fields(Lif):
            if field.name not in ("threshold", "bias_mantissa"):
                assert getattr(ours, field.name) == getattr(theirs, field.name)
        np.testing.assert_array_equal(neurons_of(ours), neurons_of(theirs))
    for theirs in back.synapses:
        (ours,) = (
            s
            for s in circuit.into(theirs.target)
            if (s.source == theirs.source)
            or (s.source == circuit.input and theirs.source == back.input)
        )
        np.testing.assert_array_equal(effective(ours), effective(theirs))
        for name in ("stride", "padding", "dilation", "groups"):
            assert getattr(ours, name, None) == getattr(theirs, name, None)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(KINDS))
def test_a_circuit_read_back_does_the_same(tmp_path_factory, seed, kind):
    rng = np.random.default_rng(seed)
    circuit = kind(rng)
    x = samples(circuit, rng, 2)
    (path,) = emit_netx(circuit, tmp_path_factory.mktemp("netx"))

    back = read_netx(path).circuit

    ours = run_stream(circuit, x, record=everything(circuit))
    theirs = run_stream(back, x, record=everything(back))
    np.testing.assert_array_equal(ours.readout, theirs.readout)
    for name, spikes in ours.trace.spikes.items():
        np.testing.assert_array_equal(spikes, theirs.trace.spikes[name])


def samples(circuit, rng, count):
    source = circuit.sources[0]
    high = 1 << max(source.message_bits - 1, 0)
    low = -high if source.message_bits else 0
    return rng.integers(
        max(low, -50), min(high, 50) + 1 - bool(source.message_bits), (count, *source.shape)
    )


@pytest.mark.lava
@pytest.mark.parametrize(
    "kind",
    [
        convolutional,
        looped,
        pytest.param(KINDS[1], marks=pytest.mark.slow),
        pytest.param(KINDS[2], marks=pytest.mark.slow, id="image"),
        pytest.param(delayed, marks=pytest.mark.slow),
    ],
)
def test_every_spike_in_stock_netx_is_one_of_the_simulator(tmp_path, kind):
    if not is_lava_installed():
        pytest.skip("lava-nc is not installed")
    rng = np.random.default_rng(7)
    circuit = kind(rng)
    x = samples(circuit, rng, 5)
    (path,) = emit_netx(circuit, tmp_path)

    stock = run_on_netx(path, circuit, x, record_state=["out"])

    ours = run_stream(circuit, x, record=everything(circuit))
    starts = circuit.period * np.arange(len(x))
    steps = starts[:, None] + np.arange(circuit.latency)
    assert ours.trace.spikes[circuit.populations[0].name].any()
    for name, spikes in ours.trace.spikes.items():
        np.testing.assert_array_equal(spikes[0][steps], stock.spikes[name])
    np.testing.assert_array_equal(ours.readout, stock.outputs)
    np.testing.assert_array_equal(ours.trace.v["out"][0], stock.v["out"])


def test_the_same_circuit_gives_the_same_bytes(tmp_path):
    circuit = convolutional(np.random.default_rng(0))
    digests = []

    for name in ("first", "second"):
        (path,) = emit_netx(circuit, tmp_path / name)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        time.sleep(1.1)  # HDF5 keeps times in seconds

    assert digests[0] == digests[1]


def test_a_file_that_is_held_open_is_replaced(tmp_path):
    (path,) = emit_netx(layered(np.random.default_rng(0)), tmp_path)

    with h5py.File(path, "r"):
        emit_netx(convolutional(np.random.default_rng(0)), tmp_path)

    assert read_netx(path).circuit.name == "net"
    assert [file.name for file in tmp_path.iterdir()] == ["network.net"]


def with_weight(weight, exponent=0):
    circuit = layered(np.random.default_rng(0))
    weight = np.resize(weight, (6, 8))
    synapses = (
        circuit.synapses[0],
        dense("a>b", "a", "b", weight, exponent),
        *circuit.synapses[2:],
    )
    return dataclasses.replace(circuit, synapses=synapses)


@pytest.mark.parametrize(
    ("weight", "exponent", "found"),
    [
        ([0], 0, "all weights are 0"),
        ([0, -128], 0, "-128 to -64 for one"),
        ([0, -255], 0, "-255 to 0 for one"),
        ([0, 128], 1, "256 to 0 for one"),
        ([-2, 128], 1, "256 to 254 for one"),
        ([-131, 130], 0, "need 9 bits"),
        ([-255, 253], -1, "no whole numbers"),
    ],
)
def test_weights_that_stock_netx_would_change_are_refused(tmp_path, weight, exponent, found):
    circuit = with_weight(np.array(weight) << max(exponent - 1, 0), exponent)

    with pytest.raises(EmitError, match=found) as error:
        emit_netx(circuit, tmp_path)

    assert error.value.node == "a>b"
    assert error.value.hint
    assert not list(tmp_path.iterdir())


def replaced(circuit, **parts):
    """Replace populations and synapses by name."""
    return dataclasses.replace(
        circuit,
        populations=tuple(
            dataclasses.replace(p, **parts.get(p.name, {})) for p in circuit.populations
        ),
        synapses=tuple(
            dataclasses.replace(s, **parts.get(s.name, {})) for s in circuit.synapses
        ),
    )


@pytest.mark.parametrize(
    ("node", "change", "found"),
    [
        ("a", {"bias_mantissa": 5000}, "bias is 5000 to 5000"),
        ("a", {"bias_mantissa": 3, "bias_exponent": 5}, "no multiple of 64"),
        ("a", {"threshold": np.arange(131065, 131073)}, "131065 to 131072; 0 to 131071 is"),
        ("a", {"threshold": np.arange(-1, 7)}, "threshold is -1 to 6"),
        ("a", {"decay_u": np.arange(8)}, "iDecay"),
        ("a", {"shape": (8, 1, 1)}, r"\(8, 1, 1\) after a dense layer"),
        ("b", {"reset_interval": 8}, "is reset every 8 steps"),
        ("a>b", {"delay": np.full(8, 63)}, "63 to 63"),
        ("a>b", {"source": "x"}, "2 synapses leave"),
        ("a>b", {"source": "b"}, "not reached"),
        ("b>out", {"target": "a"}, "2 synapses arrive"),
    ],
)
def test_what_a_netx_file_cannot_say_is_refused(tmp_path, node, change, found):
    circuit = replaced(layered(np.random.default_rng(0)), **{node: change})

    with pytest.raises(EmitError, match=found):
        emit_netx(circuit, tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"weight": np.full((4, 2, 3, 3), 129), "padding": (1, 1)}, "129 to 129|0 to 129"),
        ({"stride": (128, 1)}, "each is 127 at most"),
        ({"groups": 2}, "does not take"),
        ({"padding": (9, 9)}, "gives"),
    ],
)
def test_convolutions_that_lava_would_miscompute_are_refused(tmp_path, change, found):
    circuit = replaced(convolutional(np.random.default_rng(0)), **{"x>a": change})

    with pytest.raises(EmitError, match=found) as error:
        emit_netx(circuit, tmp_path)

    assert error.value.node == "x>a"


def test_neuron_programs_are_refused_before_anything_else(tmp_path):
    circuit = replaced(with_weight([0, 64]), **{"a>b": {"source": "x"}})
    number = Radix(name="n", shape=(2,), start=1, interval=4, places=4)
    circuit = dataclasses.replace(circuit, populations=(*circuit.populations, number))

    with pytest.raises(EmitError) as error:
        emit_netx(circuit, tmp_path)

    assert str(error.value) == (
        "emit at 'n': needs a neuron program of its own; a netx file has stock neurons only\n"
        "  hint: compile with --lowering spatial or temporal, or write the format 'lava' "
        "instead: --format lava"
    )


def test_a_refusal_says_what_is_found_allowed_and_to_do(tmp_path):
    with pytest.raises(EmitError) as error:
        emit_netx(with_weight([0, -64]), tmp_path)

    assert str(error.value) == (
        "emit at 'a>b': weights are -64 to 0, of which the stock netx reader changes 24, -64 "
        "to -32 for one; it errs where some are 0 and none above\n"
        "  hint: scale them to magnitudes of at most 127, the largest no power of two"
    )
