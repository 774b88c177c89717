"""Weights may lie in files in the model's folder, and are read from nowhere else."""

import hashlib

import numpy as np
import onnx
import pytest

from toolchain.errors import ImportModelError
from toolchain.frontend import import_model
from toolchain.frontend.testing import check_against_onnxruntime, small_integers, text_model
from toolchain.limits import Limits

WEIGHT = small_integers(4, 3)


def saved(folder, location="weights.bin", offset=None, length=None, content=None):
    """Save a model with one weight in another file and return its path."""
    model = text_model(
        "net (float[N, 4] x) => (float[N, 3] y) { [fc] y = MatMul (x, w) }", w=WEIGHT
    )
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    folder.mkdir(parents=True, exist_ok=True)
    if content is not None:
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        (folder / location).write_bytes(content)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["weights.bin", "parts/weights.bin", "./weights.bin"])
def test_a_file_in_the_models_folder_is_read(tmp_path, location):
    model = import_model(saved(tmp_path, location, content=WEIGHT.tobytes()))

    np.testing.assert_array_equal(model.graph["fc"].weight, WEIGHT.T)
    check_against_onnxruntime(model, small_integers(2, 4))


def test_a_part_of_a_file_is_read(tmp_path):
    content = b"before" + WEIGHT.tobytes() + b"after"

    model = import_model(saved(tmp_path, offset=6, length=WEIGHT.nbytes, content=content))

    np.testing.assert_array_equal(model.graph["fc"].weight, WEIGHT.T)


def test_the_digest_covers_the_files(tmp_path):
    path = saved(tmp_path, content=WEIGHT.tobytes())

    model = import_model(path)

    assert (
        model.source.sha256 == hashlib.sha256(path.read_bytes() + WEIGHT.tobytes()).hexdigest()
    )


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin",
        "/etc/hostname",
        "a/../../weights.bin",
        "C:\\weights.bin",
        "..\\w.bin",
        "",
    ],
)
def test_a_path_out_of_the_folder_is_refused(tmp_path, location):
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())

    with pytest.raises(ImportModelError) as error:
        import_model(saved(tmp_path / "model", location))

    assert str(error.value) == (
        f"import at 'w': has its data in {location!r}; a file in the model's folder is "
        "supported\n  hint: save the model with its weights inside, or beside it"
    )


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())
    path = saved(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "weights.bin")

    with pytest.raises(
        ImportModelError, match="which leads out of the model's folder"
    ) as error:
        import_model(path)

    assert error.value.node == "w"


def test_a_linked_folder_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights.bin").write_bytes(WEIGHT.tobytes())
    path = saved(tmp_path / "model", "parts/weights.bin")
    (tmp_path / "model" / "parts").symlink_to(tmp_path / "other")

    with pytest.raises(ImportModelError, match="which leads out of the model's folder"):
        import_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ImportModelError, match=r"'weights\.bin', and there is no such"
    ) as error:
        import_model(saved(tmp_path))

    assert error.value.node == "w"


@pytest.mark.parametrize("location", ["x" * 300, "x/" * 3000 + "y"], ids=["name", "path"])
def test_a_path_longer_than_any_is_refused_in_few_words(tmp_path, location):
    with pytest.raises(ImportModelError, match="cannot be found: file name too long") as error:
        import_model(saved(tmp_path, location))

    assert error.value.node == "w"
    assert len(str(error.value)) < 1000


def test_a_link_to_itself_is_refused(tmp_path):
    path = saved(tmp_path)
    (tmp_path / "weights.bin").symlink_to("weights.bin")

    with pytest.raises(ImportModelError, match=r"there is no such file|symbolic links"):
        import_model(path)


@pytest.mark.parametrize(
    ("offset", "length"), [(8, None), (0, 1000), (-4, None), ("x", None), (0, -1), (1000, None)]
)
def test_data_that_the_file_does_not_have_is_refused(tmp_path, offset, length):
    path = saved(tmp_path, offset=offset, length=length, content=WEIGHT.tobytes())

    with pytest.raises(ImportModelError) as error:
        import_model(path)

    assert error.value.node == "w"


def test_the_model_alone_is_self_contained(tmp_path):
    model = import_model(saved(tmp_path, content=WEIGHT.tobytes()))

    (tensor,) = onnx.load_model_from_string(model.source.content()).graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), WEIGHT)


def test_bytes_that_many_weights_share_count_for_each(tmp_path):
    path = saved(tmp_path, content=WEIGHT.tobytes())
    model = onnx.load(path, load_external_data=False)
    for name in ("b", "c"):
        other = model.graph.initializer.add()
        other.CopyFrom(model.graph.initializer[0])
        other.name = name
    path.write_bytes(model.SerializeToString())
    size = path.stat().st_size + 3 * WEIGHT.nbytes

    import_model(path, Limits(model_bytes=size))
    with pytest.raises(ImportModelError) as error:
        import_model(path, Limits(model_bytes=size - 1))

    assert error.value.problem == (
        f"makes {size} bytes of the model; up to {size - 1} are supported"
    )
    assert error.value.node == "c"
