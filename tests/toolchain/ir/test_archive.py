"""An archive gives back every number of a circuit, and anything else is refused."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse

from toolchain.errors import InputDataError
from toolchain.ir import archive, mapped
from toolchain.ir.ann import Dense, Encoding, HostOp, Input, Output
from toolchain.ir.archive import load_archive, save_archive
from toolchain.ir.graph import Graph, Phase
from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Injection,
    Lif,
    Readout,
    Source,
    SparseSynapse,
    Window,
)
from toolchain.ir.radix import Radix, RadixMax
from toolchain.ir.sigma_delta import Delta, Sigma, SigmaDelta
from toolchain.ir.text import print_graph


def everything():
    """One of each class, with values that need every width of integer."""
    sparse = scipy.sparse.csr_matrix(np.array([[0, -256], [0, 0], [2**40, 3]]))
    return Circuit(
        name="net",
        sources=(
            Source(name="x", shape=(2,), message_bits=8),
            Source(name="host", shape=(3,), events=((0, np.array([1, -(2**20), 300])),)),
        ),
        populations=(
            Lif(name="a", shape=(3,), threshold=np.array([1, 70000, 3]), bias_mantissa=-5),
            Lif(name="b", shape=(1, 1, 3), threshold=7, reset_interval=9, reset_offset=2),
            Delta(name="c", shape=(3,), threshold=4),
            SigmaDelta(name="d", shape=(3,), threshold=4, bias=np.array([0, 300, -5])),
            Sigma(name="e", shape=(3,)),
            Radix(
                name="f", shape=(3,), start=3, interval=4, places=2, bias=np.array([1, 2, 3])
            ),
            RadixMax(name="g", shape=(3,), start=6, interval=4),
        ),
        synapses=(
            SparseSynapse(name="xa", source="x", target="a", weight=sparse, weight_exponent=-3),
            DenseSynapse(
                name="ab",
                source="a",
                target="b",
                weight=np.arange(-4, 5).reshape(3, 3),
                delay=np.array([0, 5, 62]),
            ),
            ConvSynapse(
                name="bb", source="b", target="b", weight=np.ones((1, 1, 1, 1), int), groups=1
            ),
            Injection(name="hb", source="host", target="a", register="bias"),
        ),
        inputs=("x",),
        period=np.int64(9),
        latency=12,
        windows={"b": Window(3, 4, copies=2), "type": Window(1, 1, is_radix=True)},
        readouts=(Readout("b", 11, shift=0),),
    )


def assert_same(left, right):
    if dataclasses.is_dataclass(left):
        assert type(left) is type(right)
        for member in dataclasses.fields(left):
            assert_same(getattr(left, member.name), getattr(right, member.name))
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        assert_same(tuple(left.values()), tuple(right.values()))
    elif scipy.sparse.issparse(left):
        assert isinstance(right, scipy.sparse.csr_matrix)
        assert_same(left.toarray(), right.toarray())
    elif isinstance(left, np.ndarray):
        assert (left.dtype.kind, left.shape) == (right.dtype.kind, right.shape)
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


def test_the_example_has_every_class_there_is():
    circuit = everything()
    parts = (*circuit.sources, *circuit.populations, *circuit.synapses)
    used = {type(part).__name__ for part in parts} | {"Circuit", "Window", "Readout", "Synapse"}

    assert used == {name for name, cls in vars(mapped).items() if dataclasses.is_dataclass(cls)}


def test_a_circuit_comes_back_with_every_number(tmp_path):
    save_archive(everything(), tmp_path / "circuit.npz")

    assert_same(everything(), load_archive(tmp_path / "circuit.npz", Circuit))


def test_weights_come_back_narrow_and_all_else_in_64_bits(tmp_path):
    save_archive(everything(), tmp_path / "circuit.npz")

    circuit = load_archive(tmp_path / "circuit.npz", Circuit)

    synapses = {synapse.name: synapse for synapse in circuit.synapses}
    assert {synapses[name].weight.dtype for name in ("ab", "bb")} == {np.dtype(np.int8)}
    assert synapses["ab"].delay.dtype == circuit.populations[0].threshold.dtype == np.int64


def test_the_same_circuit_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_archive(everything(), tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as members:  # at whatever time
        assert {member.date_time for member in members.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_arrays_are_stored_without_pickles_in_the_narrowest_type(tmp_path):
    save_archive(everything(), tmp_path / "circuit.npz")

    with np.load(tmp_path / "circuit.npz", allow_pickle=False) as archive:
        kinds = {archive[name].dtype.name for name in archive.files if name != "content"}

    assert kinds == {"int8", "int16", "int32", "int64"}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputDataError) as error:
        load_archive(tmp_path / "no.npz", Circuit)

    assert error.value.node == str(tmp_path / "no.npz")
    assert error.value.problem == "there is no such file"


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        '{"type": "Circuit"}',
        '{"type": "Nonsense"}',
        '{"array": "absent"}',
        '{"type": "Readout", "population": "a", "step": 1}',
    ],
)
def test_what_is_no_circuit_is_refused(tmp_path, text):
    np.savez(tmp_path / "circuit.npz", content=np.array(text))

    with pytest.raises(InputDataError) as error:
        load_archive(tmp_path / "circuit.npz", Circuit)

    assert error.value.hint == "compile the network again"


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "circuit.npz").write_text("hello")

    with pytest.raises(InputDataError):
        load_archive(tmp_path / "circuit.npz", Circuit)


def test_a_graph_comes_back_as_the_text_it_was(tmp_path):
    graph = Graph(
        "net",
        (
            Input(name="x", shape=(2,), source_shape=(2,), encoding=Encoding(0.5, 0, 3)),
            Dense(name="d", inputs=("x",), origin=("gemm",), weight=np.arange(4).reshape(2, 2)),
            Output(
                name="y",
                inputs=("d",),
                shape=(2,),
                tail=(HostOp(name="s", function="softmax"),),
            ),
        ),
        source_nodes=("gemm",),
        phase=Phase.QUANTIZE,
    )
    save_archive(graph, tmp_path / "graph.npz")

    loaded = load_archive(tmp_path / "graph.npz", Graph)

    assert loaded.phase is Phase.QUANTIZE
    assert print_graph(loaded) == print_graph(graph)


def damaged(tmp_path, change):
    """Return the error of reading an archive whose text and arrays were changed."""
    path = tmp_path / "circuit.npz"
    save_archive(everything(), path)
    with np.load(path) as archive:
        entries = dict(archive)
    content = json.loads(str(entries["content"]))
    change(content, entries)
    np.savez(path, **{**entries, "content": np.array(json.dumps(content))})
    with pytest.raises(InputDataError) as error:
        load_archive(path, Circuit)
    return error.value


def _text_for_a_number(content, entries):
    content["period"] = "x"


def _number_without_end(content, entries):
    content["period"] = 10**30


def _number_for_a_list(content, entries):
    content["synapses"] = 3


def _node_for_a_synapse(content, entries):
    content["synapses"][0] = content["populations"][0]


def _too_few_sizes(content, entries):
    (conv,) = (each for each in content["synapses"] if each["type"] == "ConvSynapse")
    conv["stride"] = [1]


def _floats_for_integers(content, entries):
    (dense,) = (each for each in content["synapses"] if each["name"] == "ab")
    name = dense["weight"]["array"]
    entries[name] = entries[name].astype(np.float32)


def _floats_in_a_matrix(content, entries):
    (sparse,) = (each for each in content["synapses"] if each["name"] == "xa")
    name = sparse["weight"]["sparse"][0]["array"]
    entries[name] = entries[name].astype(np.float64)


def _column_outside_of_a_matrix(content, entries):
    (sparse,) = (each for each in content["synapses"] if each["name"] == "xa")
    entries[sparse["weight"]["sparse"][1]["array"]][0] = 99


@pytest.mark.parametrize(
    "change",
    [
        _text_for_a_number,
        _number_without_end,
        _number_for_a_list,
        _node_for_a_synapse,
        _too_few_sizes,
        _floats_for_integers,
        _column_outside_of_a_matrix,
        _floats_in_a_matrix,
    ],
)
def test_a_field_of_another_type_than_declared_is_refused(tmp_path, change):
    assert damaged(tmp_path, change).problem.startswith("the file does not hold a circuit")


def test_an_archive_that_unpacks_to_too_much_is_refused_before(tmp_path, monkeypatch):
    save_archive(everything(), tmp_path / "circuit.npz")
    monkeypatch.setattr(archive, "LARGEST_BYTES", 100)

    with pytest.raises(InputDataError, match="100 are read at most"):
        load_archive(tmp_path / "circuit.npz", Circuit)
