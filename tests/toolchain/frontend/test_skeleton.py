"""ONNX's checker and shape inference say of a skeleton what they say of the whole model."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import ImportModelError
from toolchain.frontend.skeleton import LARGEST_KNOWN, skeleton_of
from toolchain.frontend.testing import import_proto, small_integers, text_model

SIDE = 40
TENSOR = onnx.TensorProto


def dense(weight=None):
    """Return a network with one weight, larger than what shape inference is told."""
    return text_model(
        f"net (float[N, {SIDE}] x) => (float[N, {SIDE}] y) {{ [fc] y = MatMul (x, w) }}",
        w=small_integers(SIDE, SIDE) if weight is None else weight,
    )


def with_constant():
    """Return the same network with its weight in a node."""
    model = dense()
    (weight,) = model.graph.initializer
    node = onnx.helper.make_node("Constant", [], ["w"], "w", value=weight)
    model.graph.node.insert(0, node)
    del model.graph.initializer[:]
    return model


def tensor_of(model):
    return model.graph.initializer[0] if model.graph.initializer else constant_of(model)


def constant_of(model):
    return model.graph.node[0].attribute[0].t


def said(look, model):
    """Return what onnx says of a model, nothing if it finds nothing."""
    try:
        look(model)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
    ) as error:
        return str(error)
    return ""


def checked(model):
    onnx.checker.check_model(model)


def inferred(model):
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def require_same_findings(model):
    """Compare what onnx says of a model with and without elements; return both findings."""
    found = said(checked, model), said(inferred, model)
    assert said(checked, skeleton_of(model, with_shapes=False)) == found[0]
    assert said(inferred, skeleton_of(model, with_shapes=True)) == found[1]
    return found


@pytest.mark.parametrize("made", [dense, with_constant])
@pytest.mark.parametrize("with_shapes", [True, False])
def test_large_tensors_are_left_out(made, with_shapes):
    model = made()

    skeleton = skeleton_of(model, with_shapes=with_shapes)

    assert skeleton.ByteSize() < 500 < 4 * SIDE**2 < model.ByteSize()
    assert list(tensor_of(skeleton).dims) == ([SIDE, SIDE] if with_shapes else [])
    assert require_same_findings(model) == ("", "")


def test_all_that_is_small_stays():
    model = text_model(
        """net (float[N, 2, 3] x) => (float[N, 6] y) {
            k = Constant <value = int64[2] {-1, 6}> ()  a = Relu (x)  y = Reshape (a, k) }""",
        unread=np.zeros(LARGEST_KNOWN, np.float32),
    )
    model.metadata_props.add(key="a", value="b")
    model.graph.doc_string = "a network"

    assert skeleton_of(model, with_shapes=True) == model
    assert skeleton_of(model, with_shapes=False) == model


def two_fields(model):
    tensor_of(model).float_data.extend([0.0] * SIDE**2)


def other_field(model):
    tensor_of(model).ClearField("raw_data")
    tensor_of(model).int32_data.extend([0] * SIDE**2)


def too_few(model):
    tensor_of(model).raw_data = tensor_of(model).raw_data[:-1]


def nothing(model):
    tensor_of(model).ClearField("raw_data")


def no_type(model):
    tensor_of(model).data_type = TENSOR.UNDEFINED


def text(model):
    tensor_of(model).data_type = TENSOR.STRING


def unknown_type(model):
    tensor_of(model).data_type = 1000


def negative(model):
    tensor_of(model).dims[:] = [-SIDE, -SIDE]


def endless(model):
    tensor_of(model).dims[:] = [2**40, 2**40]


def elsewhere(model):
    tensor_of(model).ClearField("raw_data")
    tensor_of(model).data_location = TENSOR.EXTERNAL


def both_here_and_elsewhere(model):
    tensor_of(model).data_location = TENSOR.EXTERNAL
    tensor_of(model).external_data.add(key="location", value="none.bin")


def twice(model):
    model.graph.initializer.append(model.graph.initializer[0])


def twice_and_small(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3), "w"))


def without_name(model):
    model.graph.initializer[0].ClearField("name")


def empty_name(model):
    model.graph.initializer[0].name = ""


def computed_too(model):
    model.graph.initializer[0].name = "y"


def unread(model):
    model.graph.initializer[0].name = "other"


def declared(*shape, dtype=TENSOR.FLOAT):
    def damage(model):
        model.graph.input.append(onnx.helper.make_tensor_value_info("w", dtype, shape))

    return damage


def of_integers(model):
    array = np.zeros((SIDE, SIDE), np.int8)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))


def turned(model):
    tensor_of(model).dims[:] = [SIDE * 2, SIDE // 2]


TENSOR_DAMAGES = [
    two_fields,
    other_field,
    too_few,
    nothing,
    no_type,
    text,
    unknown_type,
    negative,
    endless,
    elsewhere,
    both_here_and_elsewhere,
    turned,
]
NAME_DAMAGES = [
    twice,
    twice_and_small,
    without_name,
    empty_name,
    computed_too,
    unread,
    of_integers,
    declared(SIDE, SIDE + 1),
    declared(SIDE),
    declared(SIDE, SIDE, dtype=TENSOR.DOUBLE),
]


@pytest.mark.parametrize(
    ("made", "damage"),
    [
        *((dense, damage) for damage in (*TENSOR_DAMAGES, *NAME_DAMAGES)),
        *((with_constant, damage) for damage in TENSOR_DAMAGES),
    ],
)
def test_damage_that_onnx_finds_is_found_without_elements(made, damage):
    model = made()
    damage(model)

    assert any(require_same_findings(model))

    with pytest.raises(ImportModelError):
        import_proto(model)


def test_elements_too_many_are_found_where_they_are_read():
    model = dense()
    tensor_of(model).raw_data += b"\0"
    assert require_same_findings(model) == ("", "")

    with pytest.raises(ImportModelError, match="does not fit the elements") as error:
        import_proto(model)

    assert error.value.node == "w"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_tensor_of_any_content_is_seen_as_it_is(data):
    kinds = st.sampled_from([*TENSOR.DataType.values()])
    axis = st.sampled_from([-1, 0, 1, 2, 32, 33, 1025, 2**31, 2**62])
    tensor = TENSOR(name="w", data_type=data.draw(kinds))
    tensor.dims.extend(data.draw(st.lists(axis, max_size=3)))
    counts = st.sampled_from([0, 0, 1, 1024, 1025, 1056, 1089, 2050])
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        if data.draw(st.booleans()):
            getattr(tensor, field).extend([0] * data.draw(counts))
    if data.draw(st.booleans()):
        tensor.raw_data = bytes(data.draw(counts) * data.draw(st.sampled_from([1, 2, 4, 8])))
    model = dense()
    model.graph.initializer[0].CopyFrom(tensor)

    require_same_findings(model)
