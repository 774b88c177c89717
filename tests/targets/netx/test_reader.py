"""A netx file is read as the stock reader reads it, and what that one cannot run is refused."""

import contextlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.formats.netx_hdf5 import emit_netx
from targets.netx.layers import Drive
from targets.netx.reader import read_netx
from toolchain.errors import ImportModelError
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

LIF = {
    "neuron/type": np.array([b"LOIHI"]),
    "neuron/iDecay": 1024,
    "neuron/vDecay": 128,
    "neuron/vThMant": 80,
}
SDNN = {"neuron/type": b"SDNN", "neuron/vThMant": 3, "neuron/activation": b"relu"}


def layer(kind, shape, **fields):
    return {"type": np.array([kind.encode()], "S10"), "shape": np.array(shape), **fields}


def dense(neurons, inputs, **fields):
    weight = np.arange(-6.0, neurons * inputs - 6) * 2
    return layer("dense", [neurons], **{"weight": weight.reshape(neurons, inputs), **fields})


def conv(shape, weight, **fields):
    geometry = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return layer("conv", shape, weight=weight, **{**geometry, **LIF, **fields})


@pytest.fixture
def write(tmp_path):
    """Return a function that writes layers as a netx file and returns its path."""

    def write(*layers):
        path = tmp_path / "net.net"
        with h5py.File(path, "w") as file:
            for index, fields in enumerate(layers):
                for field, value in fields.items():
                    file[f"layer/{index}/{field}"] = value
        return path

    return write


@pytest.fixture
def read(write):
    """Return a function that writes layers and reads them back."""
    return lambda *layers, **settings: read_netx(write(*layers), **settings)


def test_weights_and_biases_are_cut_off_toward_zero(read):
    weight = np.array([[2.9, -2.9], [4.0, -0.5]])

    circuit = read(dense(2, 2, weight=weight, bias=np.array([1.9, -1.9]), **LIF)).circuit

    (synapse,) = circuit.synapses
    assert (synapse.weight * 2.0**synapse.weight_exponent).tolist() == [[2, -2], [4, 0]]
    assert circuit.populations[0].bias_mantissa.tolist() == [1, -1]


def test_a_layer_without_neuron_integrates_and_never_spikes(read):
    (lif,) = read(dense(2, 3)).circuit.populations

    assert (lif.threshold, lif.decay_u, lif.decay_v) == (1 << 17, 0, 4096)


def test_a_bias_wraps_at_16_bits(read):
    circuit = read(dense(2, 3, bias=np.array([40000, -40000]), **LIF)).circuit

    assert circuit.populations[0].bias_mantissa.tolist() == [40000 - 65536, 65536 - 40000]


def test_a_vector_of_weights_is_cut_into_rows(read):
    (synapse,) = read(dense(2, 3, weight=np.array([2, 4, 6, -2, 0, 8]))).circuit.synapses

    effective = synapse.weight * 2.0**synapse.weight_exponent
    assert effective.tolist() == [[2, 4, 6], [-2, 0, 8]]


@pytest.mark.parametrize(
    ("delay", "per_synapse"),
    [
        (3.9, [[3, 3, 3], [3, 3, 3]]),
        ([1, 2], [[1, 1, 1], [2, 2, 2]]),
        ([1, 2, 3], [[1, 2, 3], [1, 2, 3]]),
        ([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]),
        ([70.0, 0.0], [[62, 62, 62], [0, 0, 0]]),
    ],
)
def test_delays_are_per_output_else_per_input_and_at_most_62(read, delay, per_synapse):
    (synapse,) = read(dense(2, 3, delay=delay)).circuit.synapses

    assert np.broadcast_to(synapse.delay, (2, 3)).tolist() == per_synapse


def test_delays_of_a_square_layer_are_per_output(read):
    (synapse,) = read(dense(2, 2, delay=[1, 2])).circuit.synapses

    assert synapse.delay.tolist() == [[1], [2]]


def test_arrays_of_a_convolution_are_turned_from_whc_to_chw(read):
    per_neuron = np.arange(2 * 3 * 4).reshape(2, 3, 4)  # (W, H, C)

    network = read(
        layer("input", [1, 3, 2]),
        conv(
            [4, 3, 2],
            np.ones((4, 1, 1, 1)),
            bias=per_neuron,
            **{"neuron/vThMant": [9, 8, 7, 6]},
        ),
    )

    (lif,) = network.circuit.populations
    np.testing.assert_array_equal(lif.bias_mantissa, per_neuron.transpose(2, 1, 0))
    np.testing.assert_array_equal(lif.threshold[:, 0, 0], [9, 8, 7, 6])


def test_a_convolution_keeps_its_kernel_and_geometry(read):
    weight = np.arange(2 * 1 * 2 * 3).reshape(2, 1, 2, 3, 1)

    network = read(
        layer("input", [2, 5, 7]),
        conv([2, 3, 3], weight, stride=[2, 3], padding=[1, 1], dilation=[2, 1], groups=2),
    )

    (synapse,) = network.circuit.synapses
    assert isinstance(synapse, ConvSynapse)
    np.testing.assert_array_equal(synapse.weight, weight[..., 0])
    assert (synapse.stride, synapse.padding, synapse.dilation) == ((2, 3), (1, 1), (2, 1))
    assert synapse.groups == 2


def test_an_input_with_lif_neurons_is_driven_by_its_bias(read):
    network = read(
        layer("input", [2, 3, 4], weight=[36.7], bias=[34.0], **LIF),
        conv([1, 3, 4], np.ones((1, 2, 1, 1))),
    )

    assert (network.drive, network.gain, network.offset) == (Drive.BIAS, 36, 34)
    injection = network.circuit.synapses[0]
    assert isinstance(injection, Injection)
    assert injection.register == "bias"
    assert network.circuit.sources[0].shape == (2, 3, 4)


def test_a_sigma_delta_network_has_its_three_kinds_of_neurons(read):
    network = read(
        layer("input", [4], **SDNN),
        dense(3, 4, bias=np.array([1, 2, 3]), **SDNN),
        dense(2, 3, **SDNN, **{"neuron/sigma_output": True}),
        spike_exponent=4,
    )

    delta, sigma_delta, sigma = network.circuit.populations
    assert network.drive is Drive.CURRENT
    assert (type(delta), type(sigma_delta), type(sigma)) == (Delta, SigmaDelta, Sigma)
    assert (delta.threshold, delta.spike_exponent, delta.state_exponent) == (3, 4, 6)
    assert sigma_delta.bias.tolist() == [1, 2, 3]


def test_a_diagonal_loop_becomes_a_sparse_synapse_of_the_same_exponent(read):
    fields = dense(2, 3, weight_rec=np.diag([-100, -100]), **LIF)

    forward, loop = read({**fields, "type": b"dense_rec"}).circuit.synapses

    assert isinstance(forward, DenseSynapse)
    assert isinstance(loop, SparseSynapse)
    assert (loop.weight.toarray() * 2.0**loop.weight_exponent).tolist() == [
        [-100, 0],
        [0, -100],
    ]
    assert loop.weight_exponent == forward.weight_exponent


def test_blocks_are_reset_one_step_after_each_other(read):
    circuit = read(dense(2, 3), dense(2, 2), reset_interval=2, reset_offset=1).circuit

    assert [lif.reset_interval for lif in circuit.populations] == [2, 2]
    assert [lif.reset_offset for lif in circuit.populations] == [1, 0]
    assert circuit.period == 2


def test_flatten_before_the_first_block_keeps_the_shape_of_the_sample(read):
    fields = [layer("input", [2, 1, 3]), layer("flatten", [6]), dense(2, 6)]

    assert read(*fields).circuit.sources[0].shape == (2, 1, 3)


def test_layers_past_the_asked_number_are_not_looked_at(read):
    network = read(dense(2, 3), layer("average", [1]), num_layers=1)

    assert [population.name for population in network.circuit.populations] == ["layer0"]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"weight": np.array([[0, -128]])}, "layer 0: the stock reader changes 1 of 2 numbers"),
        ({"delay": 99}, "layer 0: delays are clamped to 62"),
        ({**LIF, "neuron/refDelay": 3}, "layer 0/neuron: refDelay is not heeded"),
        ({**LIF, "neuron/weight_exp": 2}, "layer 0/neuron: weight_exp is not heeded"),
    ],
)
def test_what_the_stock_reader_changes_or_passes_over_is_noted(read, fields, note):
    (found,) = read(dense(1, 2, **fields)).notes

    assert found.startswith(note)


UNREADABLE = {
    "unknown layer": ([layer("pool", [1])], "layer 0", "type"),
    "later layer": ([dense(2, 3), layer("concat", [1])], "layer 1", "type"),
    "second input": ([dense(2, 3), layer("input", [1])], "layer 1", "type"),
    "no type": ([{"shape": [2]}], "layer 0", "type"),
    "type is a number": ([{"type": 4, "shape": [2]}], "layer 0", "type"),
    "no weight": ([layer("dense", [2])], "layer 0", "weight"),
    "weight of text": ([dense(1, 2, weight=np.array([b"a", b"b"]))], "layer 0", "weight"),
    "weight not finite": ([dense(1, 2, weight=np.array([[1, np.nan]]))], "layer 0", "weight"),
    "weight all zero": ([dense(1, 2, weight=np.zeros((1, 2)))], "layer 0", "weight"),
    "weight of 9 bits": ([dense(1, 2, weight=np.array([[-131, 2]]))], "layer 0", "weight"),
    "weight of wrong height": ([dense(2, 3, weight=np.ones((3, 3)))], "layer 0", "weight"),
    "weight of wrong width": ([dense(2, 3), dense(2, 3)], "layer 1", "weight"),
    "complex weight": ([layer("dense", [1], **{"weight/real": [[1]]})], "layer 0", "weight"),
    "shape of 4 sizes": (
        [layer("dense", [1, 1, 1, 2], weight=np.ones((2, 3)))],
        "layer 0",
        "shape",
    ),
    "bias of wrong length": ([dense(2, 3, bias=np.ones(3))], "layer 0", "bias"),
    "delay of wrong length": ([dense(2, 3, delay=np.ones(4))], "layer 0", "delay"),
    "negative delay": ([dense(2, 3, delay=-2)], "layer 0", "delay"),
    "unknown neuron": ([dense(2, 3, **{"neuron/type": b"ALIF"})], "layer 0/neuron", "type"),
    "resonator": ([dense(2, 3, **{"neuron/type": b"RF_PHASE"})], "layer 0/neuron", "type"),
    "decay too large": (
        [dense(2, 3, **{**LIF, "neuron/iDecay": 4097})],
        "layer 0/neuron",
        "iDecay",
    ),
    "threshold missing": (
        [dense(2, 3, **{"neuron/type": b"CUBA"})],
        "layer 0/neuron",
        "vThMant",
    ),
    "thresholds of wrong length": (
        [dense(2, 3, **{**LIF, "neuron/vThMant": [1, 2, 3]})],
        "layer 0/neuron",
        "vThMant",
    ),
    "message bits": (
        [dense(2, 3, **{**LIF, "neuron/messageBits": 8})],
        "layer 0/neuron",
        "messageBits",
    ),
    "biased sigma output": (
        [dense(2, 3, bias=np.ones(2), **SDNN, **{"neuron/sigma_output": True})],
        "layer 0/neuron",
        "sigma_output",
    ),
    "conv without input shape": ([conv([1, 1, 1], np.ones((1, 1, 1, 1)))], "layer 0", "type"),
    "conv of wrong shape": (
        [layer("input", [1, 4, 4]), conv([1, 4, 4], np.ones((1, 1, 2, 2)))],
        "layer 1",
        "shape",
    ),
    "conv of 128 groups": (
        [layer("input", [128, 1, 1]), conv([128, 1, 1], np.ones((128, 1, 1, 1)), groups=128)],
        "layer 1",
        "groups",
    ),
    "dense after an image": (
        [layer("input", [1, 2, 2]), conv([1, 2, 2], np.ones((1, 1, 1, 1))), dense(2, 4)],
        "layer 2",
        "type",
    ),
    "flatten after a vector": (
        [dense(2, 3), layer("flatten", [2]), dense(2, 2)],
        "layer 2",
        "type",
    ),
    "loop that is not square": (
        [{**dense(2, 3, weight_rec=np.ones((2, 3))), "type": b"dense_rec"}],
        "layer 0",
        "weight_rec",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_run_is_refused_by_file_layer_and_field(write, case):
    layers, place, field = UNREADABLE[case]
    path = write(*layers)

    with pytest.raises(ImportModelError) as error:
        read_netx(path)

    assert error.value.node == str(path)
    assert error.value.problem.startswith(f"{place}, field {field!r}: ")


def test_a_gap_in_the_numbers_of_layers_is_refused(write):
    path = write(dense(2, 3), dense(2, 2))
    with h5py.File(path, "a") as file:
        file.move("layer/1", "layer/2")

    with pytest.raises(ImportModelError, match="layer, field '1': is missing"):
        read_netx(path)


def test_a_refusal_says_what_is_found_allowed_and_to_do(write):
    path = write(dense(2, 3), layer("average", [1]))

    with pytest.raises(ImportModelError) as error:
        read_netx(path)

    assert str(error.value) == (
        f"import at '{path}': layer 1, field 'type': is 'average', which the stock reader "
        "skips or stops at; it runs input, flatten, conv, dense, dense_rec\n"
        "  hint: read the layers before it: num_layers=1"
    )


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(80)])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.net"
    path.write_bytes(content)

    with pytest.raises(ImportModelError, match="not a readable HDF5 file"):
        read_netx(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ImportModelError, match="not a readable HDF5 file"):
        read_netx(tmp_path / "nowhere.net")


def test_an_hdf5_file_without_layers_is_refused(write):
    with pytest.raises(ImportModelError, match="field 'layer': is missing"):
        read_netx(write())


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """Return the bytes of a file that can be read, and a place for damaged ones."""
    folder = tmp_path_factory.mktemp("damaged")
    memoryless = {"decay_u": 4096, "decay_v": 4096}
    circuit = Circuit(
        name="net",
        sources=(Source(name="x", shape=(2, 4, 4), message_bits=8),),
        populations=(
            Lif(name="a", shape=(3, 3, 3), threshold=9, bias_mantissa=4, **memoryless),
            Lif(name="b", shape=(2,), threshold=9, **memoryless),
        ),
        synapses=(
            ConvSynapse(
                name="s", source="x", target="a", weight=np.ones((3, 2, 2, 2), np.int64)
            ),
            DenseSynapse(name="t", source="a", target="b", weight=np.ones((2, 27), np.int64)),
        ),
        inputs=("x",),
        period=1,
        latency=3,
    )
    (path,) = emit_netx(circuit, folder)
    return path.read_bytes(), folder / "damaged.net"


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 1 << 32), st.integers(1, 40), st.booleans())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(intact, seed, count, is_cut):
    content, path = intact
    rng = np.random.default_rng(seed)
    damaged = np.frombuffer(content, np.uint8).copy()
    damaged[rng.integers(0, len(damaged), count)] = rng.integers(0, 256, count)
    path.write_bytes(damaged[: rng.integers(len(damaged)) if is_cut else None].tobytes())

    with contextlib.suppress(ImportModelError):
        assert read_netx(path).circuit.populations
