"""Samples enter a netx network the way its first layer asks for."""

import h5py
import numpy as np
import pytest

from targets.netx import fields
from targets.netx.reader import read_netx
from targets.netx.run import encode, run_netx, run_on_netx
from toolchain.errors import ImportModelError, InputDataError, RangeError

LIF = {"type": b"CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 10}
SDNN = {"type": b"SDNN", "vThMant": 0}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes one layer and its neurons as a netx file."""

    def write(kind, neuron, **fields):
        path = tmp_path / "net.net"
        with h5py.File(path, "w") as file:
            layer = file.create_group("layer/0")
            layer["type"] = kind
            for field, value in fields.items():
                layer[field] = value
            for field, value in neuron.items():
                layer[f"neuron/{field}"] = value
        return path

    return write


def test_an_analogue_sample_becomes_a_bias_cut_off_toward_zero(write):
    network = read_netx(write(b"input", LIF, shape=[2], weight=10.0, bias=-3.0))

    inputs = encode(network, np.array([[0.25, 0.09]]), 3)

    assert inputs.tolist() == [[[0, -2], [0, -2], [0, -2]]]


def test_an_input_without_transform_is_scaled_by_64(write):
    network = read_netx(write(b"input", SDNN, shape=[2]))

    assert encode(network, np.array([[0.5, -1.0]]), 1).tolist() == [[[32, -64]]]


def test_an_encoded_sample_is_taken_as_it_is(write):
    network = read_netx(write(b"input", SDNN, shape=[2]))

    assert encode(network, np.array([[5, -7]]), 1, is_encoded=True).tolist() == [[[5, -7]]]


def test_spikes_without_time_axis_are_sent_once(write):
    network = read_netx(write(b"dense", LIF, shape=[1], weight=[[2, 4]]))

    assert encode(network, np.array([[1, 0]]), 3).tolist() == [[[1, 0], [0, 0], [0, 0]]]


def test_a_binary_input_spikes_at_whatever_is_not_zero(write):
    network = read_netx(write(b"dense", LIF, shape=[1], weight=[[2, 4]]))

    assert encode(network, np.array([[[-3, 0], [0, 9]]])).tolist() == [[[1, 0], [0, 1]]]


def test_a_graded_input_keeps_its_values(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])
    network = read_netx(path, input_message_bits=8)

    assert encode(network, np.array([[[-3, 9]]])).tolist() == [[[-3, 9]]]


def test_a_biased_neuron_spikes_when_its_bias_has_added_up(write):
    path = write(b"input", LIF, shape=[1])

    run = run_netx(path, np.array([[6]]), time_steps=4, is_encoded=True)

    assert run.output.ravel().tolist() == [False, True, False, True]
    assert run.trace.v["layer0"].ravel().tolist() == [6 * 64, 0, 6 * 64, 0]


def test_a_reset_interval_starts_over(write):
    path = write(b"input", LIF, shape=[1])

    run = run_netx(path, np.array([[4]]), time_steps=6, is_encoded=True, reset_interval=2)

    assert run.trace.v["layer0"].ravel().tolist() == [256, 512, 256, 512, 256, 512]


def test_samples_run_side_by_side(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])

    run = run_netx(path, np.array([[[1, 1]] * 3, [[0, 1]] * 3]))

    assert run.trace.v["layer0"][..., 0].tolist() == [[0, 384, 0], [0, 256, 512]]


@pytest.mark.parametrize(
    "x",
    [np.zeros((1, 3)), np.zeros((2, 4, 3)), np.array([["a", "b"]]), np.array([[np.nan, 1]])],
)
def test_samples_of_another_shape_or_kind_are_refused(write, x):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])

    with pytest.raises(InputDataError):
        run_netx(path, x)


def test_spikes_that_are_not_whole_are_refused(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])

    with pytest.raises(InputDataError, match="not whole"):
        run_netx(path, np.array([[0.5, 1.0]]))


def test_a_time_axis_of_another_length_than_asked_for_is_refused(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])

    with pytest.raises(InputDataError, match="has 2 time steps, and 3 are asked for"):
        run_netx(path, np.zeros((1, 2, 2)), time_steps=3)


def test_a_bias_beyond_16_bits_is_refused(write):
    path = write(b"input", LIF, shape=[1])

    with pytest.raises(RangeError):
        run_netx(path, np.array([[40000]]), is_encoded=True)


def test_samples_for_stock_netx_must_fit_the_source(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])
    circuit = read_netx(path).circuit

    with pytest.raises(InputDataError):
        run_on_netx(path, circuit, np.zeros((1, 3), np.int64))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImportModelError):
        run_netx(tmp_path / "nowhere.net", np.zeros((1, 2)))


def test_a_run_that_takes_too_much_memory_is_refused(write):
    path = write(b"dense", LIF, shape=[1], weight=[[2, 4]])
    with h5py.File(path, "r+") as file:
        file.attrs["latency"] = 2**20 - 1

    with pytest.raises(InputDataError, match="values in and out") as error:
        run_netx(path, np.ones((1000, 2)))

    assert error.value.hint is not None


def test_a_readout_after_the_sample_is_refused(write):
    path = write(b"dense", {**LIF, "vThMant": 131071}, shape=[1], weight=[[2, 4]])
    with h5py.File(path, "r+") as file:
        file["layer/0"].attrs["population"] = np.bytes_(b"out")
        file.attrs.update(readout_population=np.bytes_(b"out"), readout_step=7, latency=7)

    with pytest.raises(ImportModelError, match="is 7; a sample takes 7 steps"):
        run_netx(path, np.ones((1, 2)))


def test_samples_that_end_before_the_readout_are_refused(write):
    path = write(b"dense", {**LIF, "vThMant": 131071}, shape=[1], weight=[[2, 4]])
    with h5py.File(path, "r+") as file:
        file["layer/0"].attrs["population"] = np.bytes_(b"out")
        file.attrs.update(readout_population=np.bytes_(b"out"), readout_step=6, latency=7)

    result = run_netx(path, np.ones((1, 3, 2)))

    with pytest.raises(InputDataError, match="read out in step 6, and the samples have 3"):
        _ = result.answer


def test_large_arrays_are_refused_before_they_take_memory(write):
    path = write(b"dense", LIF, shape=[1])
    with h5py.File(path, "r+") as file:
        file.create_dataset("layer/0/weight", shape=(1, 2**30), dtype="f4", chunks=(1, 2**16))

    with pytest.raises(ImportModelError, match="elements of a file are read"):
        run_netx(path, np.ones((1, 2)))


def test_a_file_may_hold_as_many_elements_as_it_has_bytes(write, monkeypatch):
    monkeypatch.setattr(fields, "MAX_ELEMENTS", 3)

    network = read_netx(write(b"dense", LIF, shape=[2], weight=[[2, 4], [6, 8]]))

    assert encode(network, np.array([[1, 0]]), 1).tolist() == [[[1, 0]]]


def _external_link(file, secret):
    file["layer/0/weight"] = h5py.ExternalLink(secret, "w")


def _external_storage(file, secret):
    place = [(secret, 0, 16)]
    file.create_dataset("layer/0/weight", shape=(1, 2), dtype="f8", external=place)


def _virtual(file, secret):
    layout = h5py.VirtualLayout(shape=(1, 2), dtype="f8")
    layout[:] = h5py.VirtualSource(secret, "w", shape=(1, 2))
    file.create_virtual_dataset("layer/0/weight", layout)


@pytest.mark.parametrize("keep", [_external_link, _external_storage, _virtual])
def test_a_file_with_data_in_another_file_is_refused(write, tmp_path, keep):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["w"] = [[2.0, 4.0]]
    path = write(b"dense", LIF, shape=[1])
    with h5py.File(path, "r+") as file:
        keep(file, str(secret))

    with pytest.raises(ImportModelError, match="has its data in another file"):
        run_netx(path, np.ones((1, 2)))
