"""Whatever is in a file, it is read as an ONNX model or refused with its name."""

import hashlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import CompileError, ImportModelError, UnsupportedOpError
from toolchain.frontend import import_model
from toolchain.frontend.testing import import_proto, small_integers, text_model

NEWEST = onnx.defs.onnx_opset_version()


def small_model():
    return text_model(
        """net (float[N, 1, 4, 4] x) => (float[N, 3] y) {
            [conv] c = Conv (x, k)  [act] r = Relu (c)  [flat] f = Flatten (r)
            [fc] y = Gemm (f, w) }""",
        k=small_integers(2, 1, 3, 3),
        w=small_integers(8, 3),
    )


def with_act(op_type, domain):
    model = small_model()
    model.graph.node[1].op_type = op_type
    model.graph.node[1].domain = domain
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    return model


def test_the_digest_is_that_of_the_file(tmp_path):
    path = tmp_path / "digits.onnx"
    path.write_bytes(small_model().SerializeToString())

    model = import_model(path)

    assert model.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.name, model.source.path, model.opset) == ("digits", path, 17)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImportModelError) as error:
        import_model(tmp_path / "none.onnx")

    assert str(error.value) == f"import at '{tmp_path / 'none.onnx'}': there is no such file"


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x08", b"PK\x03\x04 not onnx", b"import torch\n"]
)
def test_a_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ImportModelError, match="is not an ONNX model") as error:
        import_model(path)

    assert error.value.node == str(path)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ImportModelError, match="is a folder"):
        import_model(tmp_path)


@given(st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_off_anywhere_is_refused(tmp_path_factory, part):
    content = small_model().SerializeToString()
    path = tmp_path_factory.mktemp("cut") / "model.onnx"
    path.write_bytes(content[: int(part * len(content))])

    with pytest.raises(ImportModelError) as error:
        import_model(path)

    assert error.value.node == str(path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path_factory, data):
    content = bytearray(small_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    path.write_bytes(bytes(content))

    try:
        model = import_model(path)
    except CompileError:
        return
    assert model.graph.source_nodes


@pytest.mark.parametrize("opset", [6, NEWEST + 1])
def test_an_opset_out_of_range_is_refused(opset):
    model = small_model()
    model.opset_import[0].version = opset

    with pytest.raises(ImportModelError) as error:
        import_proto(model)

    assert error.value.problem == f"uses opset {opset}; 7 to {NEWEST} are supported"
    assert error.value.hint == "export the model again with opset 17, or install a newer onnx"


def test_a_model_without_an_opset_is_refused():
    model = small_model()
    del model.opset_import[:]

    with pytest.raises(ImportModelError, match="does not say which opset it uses"):
        import_proto(model)


def test_nodes_of_another_domain_are_refused():
    model = with_act("FusedConv", "com.microsoft")

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model)

    assert str(error.value) == (
        "import at 'act': FusedConv is of domain 'com.microsoft'; only ONNX's own operators "
        "are supported\n  hint: export the model without the optimizations of a runtime"
    )


def test_another_domain_that_no_node_uses_is_no_matter():
    model = small_model()
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))

    assert import_proto(model).opset == 17


def test_functions_of_the_models_own_are_refused():
    model = with_act("Twice", "own")
    body = [onnx.helper.make_node("Add", ["a", "a"], ["b"])]
    opsets = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(
        onnx.helper.make_function("own", "Twice", ["a"], ["b"], body, opsets)
    )

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model)

    assert str(error.value) == (
        "import at 'act': Twice is a function of the model's own\n"
        "  hint: inline the functions with onnx.inliner before"
    )


def test_control_flow_is_refused():
    model = text_model(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [branch] y = If (yes) <
                then_branch = one () => (float[N, 3] a) { a = Relu (x) },
                else_branch = two () => (float[N, 3] b) { b = Identity (x) }> }""",
        yes=np.array(True),
    )

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model)

    assert str(error.value) == (
        "import at 'branch': If runs a graph of its own; control flow is not supported\n"
        "  hint: export the model for a fixed input shape, by tracing it"
    )


def test_sequences_are_refused_by_node_name():
    model = text_model(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [pack] s = SequenceConstruct (x)  [take] y = SequenceAt (s, zero) }""",
        zero=np.array(0),
    )

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model)

    assert str(error.value) == (
        "import at 'pack': SequenceConstruct is not supported; docs/supported-operators.md has "
        "those that are"
    )


def test_another_activation_gets_a_hint():
    model = text_model(
        "net (float[N, 3] x) => (float[N, 3] y) { [act] y = ThresholdedRelu (x) }"
    )

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model)

    assert error.value.node == "act"
    assert error.value.hint == "train with Relu as activation"


@pytest.mark.parametrize("operator", ["Swirl", "HardSwish", "Upsample"])
def test_an_operator_that_the_opset_does_not_have_is_refused(operator):
    model = small_model()
    model.graph.node[1].op_type = operator
    model.opset_import[0].version = 10 if operator == "HardSwish" else 17

    with pytest.raises(
        UnsupportedOpError, match=f"{operator} is no operator of opset"
    ) as error:
        import_proto(model)

    assert error.value.node == "act"


@pytest.mark.parametrize(
    "attribute",
    [{"strides": [0, 1]}, {"dilations": [1, -1]}, {"kernel_shape": [3, 0]}, {"group": 0}],
)
def test_sizes_below_one_are_refused(attribute):
    model = small_model()
    ((name, value),) = attribute.items()
    model.graph.node[0].attribute.append(onnx.helper.make_attribute(name, value))

    with pytest.raises(UnsupportedOpError, match=f"Conv has {name}=") as error:
        import_proto(model)

    assert error.value.node == "conv"


def test_sparse_initializers_are_refused():
    model = small_model()
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4]))

    with pytest.raises(ImportModelError, match="is sparse; only dense") as error:
        import_proto(model)

    assert error.value.node == "s"


def test_a_model_that_onnx_finds_inconsistent_is_refused():
    model = small_model()
    model.graph.node[3].input[0] = "nothing"

    with pytest.raises(ImportModelError, match="is inconsistent, says onnx: Nodes in a graph"):
        import_proto(model)


def test_names_that_are_not_text_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model().SerializeToString().replace(b"flat", b"fl\xffa"))

    with pytest.raises(ImportModelError, match="names that are not UTF-8 text") as error:
        import_model(path)

    assert error.value.node == str(path)


def test_every_node_gets_a_name_of_its_own():
    model = small_model()
    for node, name in zip(model.graph.node, ["same", "same", "", ""], strict=True):
        node.name = name

    imported = import_proto(model)

    assert imported.graph.source_nodes == ("same", "same#2", "Flatten:f", "Gemm:y")


def test_the_oldest_format_may_keep_its_weights_out_of_the_inputs():
    model = small_model()
    model.ir_version = 3
    assert [value.name for value in model.graph.input] == ["x"]

    assert import_proto(model).graph.input.shape == (1, 4, 4)
