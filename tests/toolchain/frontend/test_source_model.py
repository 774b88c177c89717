"""The model itself is read again where it is run, and must still be what was imported."""

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

from toolchain.calibration import session
from toolchain.errors import ImportModelError
from toolchain.frontend import import_model
from toolchain.frontend.testing import import_proto, import_text, small_integers, text_model

X = small_integers(3, 4)
WEIGHT = small_integers(4, 36, seed=1)


def dense():
    return text_model(
        "net (float[N, 4] x) => (float[N, 36] y) { [fc] y = MatMul (x, w) }",
        w=WEIGHT,
    )


def saved(folder, model=None, name="w", **entries):
    """Save a model, one initializer in another file, and return its path."""
    model = dense() if model is None else model
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def outputs(model):
    (y,) = session(model, as_written=True).run(None, {"x": X})
    return y


def plain(folder):
    (folder / "model.onnx").write_bytes(dense().SerializeToString())
    return folder / "model.onnx"


def of_another_suffix(folder):
    return plain(folder).rename(folder / "model.ort")


def of_the_oldest_format(folder):
    model = dense()
    model.ir_version = 3
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def beside_weights(folder):
    return saved(folder)


def beside_a_part_of_a_file(folder):
    path = saved(folder, offset="8", length="576")
    (folder / "weights.bin").write_bytes(b"before: " + WEIGHT.tobytes())
    return path


def without_names(folder):
    model = text_model(
        "net (float[N, 4] x) => (float[N, 36] y) { a = MatMul (x, w)  y = Identity (a) }",
        w=WEIGHT,
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize(
    "made",
    [
        plain,
        of_another_suffix,
        of_the_oldest_format,
        without_names,
        beside_weights,
        beside_a_part_of_a_file,
    ],
)
def test_onnxruntime_reads_a_plain_file_itself(tmp_path, made):
    path = made(tmp_path)

    source = import_model(path).source

    assert source.runnable() == path
    np.testing.assert_array_equal(outputs(path), X @ WEIGHT)
    np.testing.assert_array_equal(outputs(source.content()), outputs(path))


def with_spaces(folder):
    return saved(folder, offset=" 0")


def with_a_key_of_its_own(folder):
    return saved(folder, author="me")


def with_two_places(folder):
    path = saved(folder, offset="4")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="offset", value="0")
    path.write_bytes(model.SerializeToString())
    return path


def through_a_link_of_weights(folder):
    path = saved(folder)
    (folder / "weights.bin").rename(folder / "others.bin")
    (folder / "weights.bin").symlink_to("others.bin")
    return path


def through_a_link(folder):
    (folder / "model").mkdir()
    path = saved(folder)
    path.rename(folder / "model" / "model.onnx")
    path.symlink_to("model/model.onnx")
    return path


def with_a_shape_elsewhere(folder):
    model = text_model(
        """net (float[N, 4] x) => (float[N, 36] y) {
            a = MatMul (x, w)  b = Reshape (a, s)  y = Flatten (b) }""",
        w=WEIGHT,
        s=np.array([-1, 6, 6]),
    )
    return saved(folder, model, "s")


def with_sizes_elsewhere(folder):
    parts = ", ".join(f"p{place}" for place in range(36))
    model = text_model(
        f"""net (float[N, 4] x) => (float[N, 36] y) {{
            a = MatMul (x, w)  {parts} = Split <axis = 1> (a, s)
            y = Concat <axis = 1> ({parts}) }}""",
        w=WEIGHT,
        s=np.ones(36, np.int64),
    )
    return saved(folder, model, "s")


def with_scales_elsewhere(folder):
    model = text_model(
        """net (float[N, 4] x) => (float[N, 36] y) {
            a = MatMul (x, w)  b = Reshape (a, s)
            c = Resize <mode = "nearest"> (b, , f)  y = Flatten (c) }""",
        w=WEIGHT,
        s=np.array([-1, 1, 6, 6]),
        f=np.ones(4, np.float32),
    )
    return saved(folder, model, "f")


def with_nodes_of_one_name(folder):
    model = text_model(
        """net (float[N, 4] x) => (float[N, 36] y) {
            [same] a = MatMul (x, w)  [same] y = Identity (a) }""",
        w=WEIGHT,
    )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def in_a_node(folder):
    path = saved(folder)
    model = onnx.load(path, load_external_data=False)
    (tensor,) = model.graph.initializer
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=tensor))
    del model.graph.initializer[:]
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "made",
    [
        with_spaces,
        with_a_key_of_its_own,
        with_two_places,
        through_a_link_of_weights,
        through_a_link,
        in_a_node,
        with_a_shape_elsewhere,
        with_sizes_elsewhere,
        with_scales_elsewhere,
        with_nodes_of_one_name,
    ],
)
def test_onnxruntime_is_given_what_it_might_read_in_another_way(tmp_path, made):
    source = import_model(made(tmp_path)).source

    content = source.runnable()

    assert isinstance(content, bytes)
    np.testing.assert_array_equal(outputs(content), X @ WEIGHT)


def test_onnxruntime_is_given_quantizers_that_it_does_not_know_in_plain_operators():
    model = dense()
    model.graph.node[0].input[0] = "q"
    for name, value in {"scale": 0.5, "zero": 0.0, "bits": 4.0}.items():
        tensor = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        model.graph.initializer.append(tensor)
    quant = onnx.helper.make_node(
        "Quant", ["x", "scale", "zero", "bits"], ["q"], domain="qonnx.custom_op.general"
    )
    model.graph.node.insert(0, quant)
    model.opset_import.append(onnx.helper.make_opsetid("qonnx.custom_op.general", 1))

    content = import_proto(model).source.runnable()

    assert "Quant" not in [n.op_type for n in onnx.load_model_from_string(content).graph.node]
    np.testing.assert_array_equal(outputs(content), np.clip(X, -4, 3.5) @ WEIGHT)


@pytest.mark.parametrize("ask", ["runnable", "content"])
@pytest.mark.parametrize(
    ("made", "name"),
    [
        (plain, "model.onnx"),
        (beside_weights, "model.onnx"),
        (beside_weights, "weights.bin"),
        (in_a_node, "weights.bin"),
    ],
)
def test_a_file_that_has_changed_is_refused(tmp_path, ask, made, name):
    path = made(tmp_path)
    source = import_model(path).source
    content = (tmp_path / name).read_bytes()
    changed = content.replace(b"fc", b"FC") if name == path.name else content[::-1]
    (tmp_path / name).write_bytes(changed)

    with pytest.raises(ImportModelError) as error:
        getattr(source, ask)()

    assert str(error.value) == (
        f"import at '{path}': has changed since it was imported: its digest is another\n"
        "  hint: leave the model as it is until the command is done"
    )


@pytest.mark.parametrize("ask", ["runnable", "content"])
def test_a_file_that_is_gone_is_named(tmp_path, ask):
    path = beside_weights(tmp_path)
    source = import_model(path).source
    path.unlink()

    with pytest.raises(ImportModelError) as error:
        getattr(source, ask)()

    assert error.value.node == str(path)
    assert "no such file" in error.value.problem


def test_nothing_of_the_file_is_kept():
    model = import_text(
        "net (float[N, 4] x) => (float[N, 36] y) { y = MatMul (x, w) }", w=WEIGHT
    )

    kept = [*vars(model).values(), *vars(model.source).values()]

    assert not any(isinstance(value, (bytes, onnx.ModelProto)) for value in kept)
