"""Two structures, or two files, that differ are told apart by name and place."""

from __future__ import annotations

import h5py
import numpy as np
import onnx
import onnx.parser
import pytest
import scipy.sparse

from toolchain.errors import InputDataError
from toolchain.ir.ann import Dense
from toolchain.ir.archive import save_archive
from toolchain.ir.mapped import DenseSynapse, SparseSynapse
from toolchain.verification.content import first_file_difference, first_unequal


def dense(value=1, name="fc"):
    return Dense(name=name, inputs=("x",), weight=np.array([[1.0, 2.0], [3.0, value]]))


TEXT = """<ir_version: 8, opset_import: ["": 13]>
net (float[N, 2] x) => (float[N, 2] y) <float[2, 1] w = {2.0, 3.0}> {
  y = Add (x, w)
}"""


def add_one(model):
    (weight,) = model.graph.initializer
    changed = np.array([[2], [4]], np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, "w"))


def rename(model):
    model.graph.node[0].op_type = "Sub"


@pytest.mark.parametrize(
    ("found", "wanted", "where"),
    [
        (dense(5), dense(4), "weight[1, 1] is 5.0 and not 4.0"),
        ((dense(), dense(5)), (dense(), dense(4)), "'fc'.weight[1, 1] is 5.0 and not 4.0"),
        ((dense(name="a"),), (dense(name="b"),), "'b'.name is 'a' and not 'b'"),
        ({"a": (1, 2)}, {"a": (1, 3)}, "a[1] is 2 and not 3"),
        ((1, 2), (1,), "[1] is not to be there"),
        ((1,), (1, 2), "[1] is missing"),
        ({"a": 1}, {"b": 1}, "b is missing"),
        ({"a": np.zeros(2)}, {"a": np.zeros(3)}, "a has shape (2,) and not (3,)"),
        ({"a": 1}, {"a": True}, "a is 1 and not True"),
        ({"a": None}, {"a": "x"}, "a is None and not 'x'"),
        (
            {"a": f"{'-' * 99}b{'-' * 99}"},
            {"a": f"{'-' * 99}c"},
            f"a is ...'{'-' * 20}b{'-' * 39}'... and not ...'{'-' * 20}c'",
        ),
    ],
)
def test_the_first_difference_is_named(found, wanted, where):
    assert first_unequal(found, wanted) == where


def test_what_is_equal_has_no_difference():
    assert first_unequal((dense(), {"a": (1, None)}), (dense(), {"a": (1, None)})) is None


def test_sparse_weights_are_compared_by_row_and_column():
    def synapse(value):
        weight = scipy.sparse.csr_matrix(np.array([[0, 1], [value, 0]]))
        return SparseSynapse(name="s", source="a", target="b", weight=weight)

    assert first_unequal(synapse(7), synapse(7)) is None
    assert first_unequal(synapse(7), synapse(9)) == "weight[1, 0] is 7 and not 9"
    assert first_unequal(synapse(0), synapse(9)) == "weight[1, 0] is 0 and not 9"


def test_archives_are_compared_by_what_they_hold(tmp_path):
    for name, value in (("a", 3), ("b", 4)):
        weight = np.array([[1, value]])
        save_archive(
            DenseSynapse(name="s", source="x", target="y", weight=weight), tmp_path / name
        )

    found = first_file_difference(tmp_path / "a", tmp_path / "b")

    assert found == "weight[0, 1] is 3 and not 4"


def test_hdf5_files_are_compared_by_datasets_and_attributes(tmp_path):
    for name, value in (("a", 3), ("b", 4)):
        with h5py.File(tmp_path / name, "w") as file:
            file["layer/weight"] = np.array([1, 3])
            file["layer"].attrs["steps"] = value

    found = first_file_difference(tmp_path / "a", tmp_path / "b")

    assert found == "layer@steps is 3 and not 4"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda model: None, "is the same"),
        (add_one, "constant 'w'[1, 0] is 4.0 and not 3.0"),
        (rename, "node 'y'.operator is 'Sub' and not 'Add'"),
        (lambda model: model.metadata_props.pop(), "metadata 'kind' is missing"),
        (
            lambda model: setattr(model, "ir_version", 7),
            "the rest of the model is 'ir_version: 7",
        ),
    ],
)
def test_onnx_models_are_compared_by_constants_nodes_and_metadata(tmp_path, change, where):
    model = onnx.parser.parse_model(TEXT)
    onnx.helper.set_model_props(model, {"kind": "twin"})
    onnx.save(model, tmp_path / "b.onnx")
    change(model)
    onnx.save(model, tmp_path / "a.onnx")

    found = first_file_difference(tmp_path / "a.onnx", tmp_path / "b.onnx")

    assert (found or "is the same").startswith(where)


def test_texts_are_compared_by_line(tmp_path):
    (tmp_path / "a").write_text("one\nto\n")
    (tmp_path / "b").write_text("one\ntwo\n")

    assert (
        first_file_difference(tmp_path / "a", tmp_path / "b") == "line 2 is 'to' and not 'two'"
    )


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    save_archive(
        DenseSynapse(name="s", source="x", target="y", weight=np.eye(2)), tmp_path / "b"
    )
    (tmp_path / "a").write_bytes(b"PK\x03\x04 and nothing more")

    with pytest.raises(InputDataError, match="cannot be read"):
        first_file_difference(tmp_path / "a", tmp_path / "b")


def test_half_a_model_is_refused(tmp_path):
    whole = onnx.parser.parse_model(TEXT).SerializeToString()
    (tmp_path / "b.onnx").write_bytes(whole)
    (tmp_path / "a.onnx").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InputDataError, match="cannot be read"):
        first_file_difference(tmp_path / "a.onnx", tmp_path / "b.onnx")
