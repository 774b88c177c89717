"""Damaged models that once ended in a traceback are refused by the name of the node."""

import ast
from random import Random

import numpy as np
import onnx
import onnx.parser
import pytest

from toolchain.errors import CompileError, ImportModelError, UnsupportedOpError
from toolchain.frontend.survey import survey_model
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    small_integers,
    spiking_model,
)
from toolchain.fuzzing.networks import windows
from toolchain.fuzzing.writer import Writer
from toolchain.limits import DEFAULT


def unchecked(text, *, opset=17, **weights):
    """Return a model as it is written, which onnx may find wrong."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    for name, array in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def refused(text, kind=UnsupportedOpError, **weights):
    """Return the error with which a model is refused."""
    with pytest.raises(kind) as error:
        import_proto(unchecked(text, **weights))
    assert isinstance(error.value, CompileError)
    return error.value


def test_a_limit_without_elements():
    error = refused(
        "net (float[N, 4] x) => (float[N, 4] y) { [act] y = Clip (x, , high) }",
        high=np.zeros(0, np.float32),
    )

    assert error.node == "act"
    assert "has max of shape (0,)" in error.problem


def test_a_scale_without_elements():
    error = refused(
        """net (float[N, 4] x) => (float[N, 4] y) {
            [q] a = QuantizeLinear (x, s, z)  y = DequantizeLinear (a, s, z) }""",
        s=np.zeros(0, np.float32),
        z=np.zeros((), np.int8),
    )

    assert error.node == "q"


def test_a_kernel_without_axes():
    error = refused(
        """net (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y) {
            [conv] y = Conv <kernel_shape = [1, 1]> (x, k) }""",
        k=small_integers(3, 2),
        kind=(UnsupportedOpError, ImportModelError),
    )

    assert error.node == "conv"


def test_parts_of_what_the_host_computes():
    error = refused(
        """net (float[N, 4] x) => (float[N, 2] y) {
            [soft] p = Softmax (x)  [part] y, z = Split <axis = 1> (p, sizes) }""",
        sizes=np.array([2, 2]),
    )

    assert error.node in ("soft", "part")


def test_more_axes_than_an_array_can_have():
    error = refused(
        """net (float[N, 4] x) => (float[N, 4] y) {
            [deep] a = Reshape (x, s)  t = Transpose (a)  y = Reshape (t, back) }""",
        kind=ImportModelError,
        s=np.array([0, 4] + [1] * 40),
        back=np.array([1, 4]),
    )

    assert error.node == "deep"
    assert "42 axes" in error.problem


def test_a_transposed_kernel_with_an_axis_too_few():
    error = refused(
        """net (float[N, 3, 2, 2] x) => (float[N, 3, 4, 4] y) {
            [up] y = ConvTranspose <strides = [2, 2]> (x, k) }""",
        k=small_integers(3, 3, 2),
        kind=(UnsupportedOpError, ImportModelError),
    )

    assert error.node == "up"


def test_an_element_type_that_does_not_exist():
    model = unchecked("net (float[N, 4] x) => (float[N, 4] y) { h = Relu (x)  y = Relu (h) }")
    value = onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [1, 4])
    value.type.tensor_type.elem_type = 99
    model.graph.value_info.append(value)

    with pytest.raises(ImportModelError, match="99"):
        import_proto(model)


def test_a_smaller_value_that_is_subtracted_is_repeated():
    model = unchecked(
        """net (float[N, 3, 2] x) => (float[N, 3, 2] y) {
            s = ReduceMean <axes = [1]> (x)  y = Sub (x, s) }"""
    )

    check_against_onnxruntime(import_proto(model), small_integers(2, 3, 2))


@pytest.mark.parametrize("nearest", ["floor", "ceil"])
def test_pixels_that_are_not_repeated_as_often(nearest):
    model = unchecked(
        f"""net (float[N, 1, 2, 2] x) => (float[N, 1, 4, 4] y) {{
            y = Resize <mode = "nearest", nearest_mode = "{nearest}"> (x, , s) }}""",
        s=np.array([1, 1, 2, 2], np.float32),
    )

    check_against_onnxruntime(import_proto(model), small_integers(2, 1, 2, 2))


@pytest.mark.parametrize(
    "attribute", ["levels = [1]", "levels = 1.5", "threshold = [1.0]", 'mixing = ["a"]']
)
def test_an_attribute_of_our_own_functions_of_another_type(attribute):
    model = spiking_model(
        """net (float[N, 3] x) => (float[N, 2] y) {
            a = ai.snn_compile.RepeatWindows <windows = 1> (x)
            h = MatMul (a, w)
            [fire] s = ai.snn_compile.MultiThreshold <windows = 1, levels = 1,
                threshold = 1.0, mixing = [1.0], retention = 1.0, initial = 0.5> (h)
            o = MatMul (s, v)
            y = ai.snn_compile.AverageWindows <windows = 1> (o) }""",
        windows=1,
        w=small_integers(3, 2),
        v=small_integers(2, 2),
    )
    (fire,) = (node for node in model.graph.node if node.name == "fire")
    name, _, value = attribute.partition(" = ")
    (place,) = (i for i, a in enumerate(fire.attribute) if a.name == name)
    fire.attribute[place].CopyFrom(onnx.helper.make_attribute(name, ast.literal_eval(value)))

    with pytest.raises(CompileError) as error:
        import_proto(model)

    assert error.value.node == "fire"


def test_windows_that_are_missing_are_an_obstacle_to_check_too(tmp_path):
    model = spiking_model(
        """net (float[N, 3] x) => (float[N, 2] y) {
            a = ai.snn_compile.RepeatWindows <windows = 1> (x)
            [fire] s = ai.snn_compile.MultiThreshold <windows = 1, levels = 1,
                threshold = 1.0, mixing = [1.0], retention = 1.0, initial = 0.5> (a)
            o = MatMul (s, v)
            y = ai.snn_compile.AverageWindows <windows = 1> (o) }""",
        windows=1,
        v=small_integers(3, 2),
    )
    (fire,) = (node for node in model.graph.node if node.name == "fire")
    del fire.attribute[[a.name for a in fire.attribute].index("windows")]
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    survey = survey_model(tmp_path / "model.onnx")

    assert "fire" in survey.refused


def test_a_softmax_of_constants_whose_axes_older_opsets_join():
    error = refused(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [soft] p = Softmax (w)  y = MatMul (x, p) }""",
        w=small_integers(4, 3),
    )

    assert error.node == "soft"


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 1)])
def test_thresholds_of_another_shape(shape):
    model = unchecked(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [steps] y = qonnx.custom_op.general.MultiThreshold <data_layout = "NC"> (x, w) }""",
        w=np.ones(shape, np.float32),
    )
    model.opset_import.append(onnx.helper.make_opsetid("qonnx.custom_op.general", 1))

    with pytest.raises(UnsupportedOpError, match="has thresholds of shape") as error:
        import_proto(model)

    assert error.value.node == "steps"


def test_a_function_that_reads_nothing_is_an_obstacle_to_check_too(tmp_path):
    model = spiking_model(
        """net (float[N, 3] x) => (float[N, 2] y) {
            a = MatMul (x, v)
            [in] r = ai.snn_compile.RepeatWindows <windows = 1> (a)
            y = ai.snn_compile.AverageWindows <windows = 1> (r) }""",
        windows=1,
        v=small_integers(3, 2),
    )
    model.graph.node[1].input[0] = ""
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    survey = survey_model(tmp_path / "model.onnx")

    assert not survey.is_clear


def test_a_constant_of_the_name_of_a_value_is_an_obstacle_to_check_too(tmp_path):
    model = unchecked(
        """net (float[N, 3] x) => (float[N, 3] y) {
            a = MatMul (x, missing)  [sum] y = Add (a, c) }""",
        a=small_integers(1, 3),
        c=small_integers(3),
    )
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    survey = survey_model(tmp_path / "model.onnx")

    assert "reads nothing that depends" in survey.refused["sum"].problem


def test_values_of_which_one_has_more_axes_so_that_samples_would_meet():
    error = refused(
        """net (float[N, 3, 2, 2] x) => (float[A, 3, B, 3] y) {
            p = GlobalAveragePool (x)  f = Flatten (p)  [sum] y = Add (p, f) }"""
    )

    assert error.node == "sum"
    assert "batch axis" in error.problem


def test_an_unused_function_that_calls_itself():
    model = unchecked("net (float[N, 4] x) => (float[N, 4] y) { [act] y = Relu (x) }")
    function = onnx.helper.make_function(
        "own", "F", ["x"], ["y"],
        [onnx.helper.make_node("F", ["x"], ["y"], domain="own")],
        [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)],
    )  # fmt: skip
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))

    with pytest.raises(ImportModelError, match="recursive"):
        import_proto(model)


def test_a_function_behind_what_is_inconsistent_is_told(tmp_path):
    model = windows(Writer(Random(0)))
    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    last = graph.node.pop()
    read = last.input[0]
    graph.node.add(name="stop", op_type="MatMul", input=[read, read], output=["bad"])
    last.input[0] = "bad"
    graph.node.append(last)
    graph.node.add(name="other", op_type="Relu", input=[read], output=["end"])
    graph.output.add().CopyFrom(graph.output[0])
    graph.output[1].name = "end"
    path = tmp_path / "net.onnx"
    onnx.save(model, path)

    survey = survey_model(path, DEFAULT)

    assert "stop" in survey.refused
