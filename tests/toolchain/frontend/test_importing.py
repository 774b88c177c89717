"""A model becomes a graph that accounts for every one of its nodes."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    import_text,
    small_integers,
    spiking_model,
    text_model,
)
from toolchain.ir.graph import Phase
from toolchain.ir.verify import accounted, verify

PIECES = {
    "Identity": "Identity ({})",
    "Dropout": "Dropout ({})",
    "Cast": "Cast <to = 1> ({})",
    "Relu": "Relu ({})",
    "Mul": "Mul ({}, two)",
    "Sub": "Sub (two, {})",
    "Constant": "Add ({}, k{i})",
    "Transpose": "Transpose <perm = [0, 2, 1, 3]> ({})",
    "Pad": "Pad ({}, none)",
    "MaxPool": "MaxPool <kernel_shape = [2, 2], pads = [0, 0, 1, 1]> ({})",
    "AveragePool": "AveragePool <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> ({})",
    "Conv": "Conv <pads = [1, 1, 1, 1]> ({}, w)",
}


@given(st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=8), st.booleans())
@settings(max_examples=80, deadline=None)
def test_nothing_is_ever_dropped(pieces, softmax):
    lines = []
    for i, piece in enumerate(pieces):
        if piece == "Constant":
            lines.append(f"k{i} = Constant <value_float = 3.0> ()")
        lines.append(f"v{i + 1} = {PIECES[piece].format(f'v{i}', i=i)}")
    last = f"v{len(pieces)}"
    end = f"y = Softmax <axis = 3> ({last})" if softmax else f"y = Identity ({last})"

    model = import_text(
        f"net (float[N, 3, 3, 3] v0) => (float[N, 3, 3, 3] y) {{ {' '.join(lines)} {end} }}",
        two=np.array(2, np.float32),
        none=np.zeros(8, np.int64),
        w=small_integers(3, 3, 3, 3),
    )

    assert len(model.graph.source_nodes) == len(lines) + 1
    assert accounted(model.graph) == set(model.graph.source_nodes)
    check_against_onnxruntime(model, small_integers(1, 3, 3, 3) / 4)


def test_what_is_needed_to_run_the_model_beside_the_graph():
    model = import_text(
        """net (float[N, 2, 3] picture) => (float[N, 4] scores) {
            [flat] f = Flatten (picture)  [fc] scores = MatMul (f, w) }""",
        w=small_integers(6, 4),
    )

    assert (model.graph.input.tensor, model.graph.input.dtype, model.input_shape) == (
        "picture",
        "float32",
        (2, 3),
    )
    assert (model.graph.output.tensor, model.graph.shapes[model.graph.output.name]) == (
        "scores",
        (4,),
    )
    assert not model.has_fixed_batch
    assert model.graph.phase is Phase.IMPORT
    assert model.graph.output.tensor == "scores"
    assert [node.name for node in model.graph] == ["picture", "fc", "scores"]


def test_an_input_may_be_called_like_a_node():
    model = import_text(
        "net (float[N, 3] a) => (float[N, 3] b) { [a] c = Relu (a)  [b] b = Mul (c, d) }",
        d=small_integers(3),
    )

    verify(model.graph)
    assert [node.name for node in model.graph] == ["a#2", "a", "b", "b#2"]


def test_weights_that_are_inputs_too_are_weights():
    model = text_model(
        "net (float[N, 3] x, float[3, 2] w) => (float[N, 2] y) { y = MatMul (x, w) }",
        w=small_integers(3, 2),
    )

    imported = import_proto(model)

    assert imported.graph.input.tensor == "x"
    check_against_onnxruntime(imported, small_integers(2, 3))


def test_a_batch_of_one_is_told_from_a_batch_of_any_size():
    fixed = import_text("net (float[1, 3] x) => (float[1, 3] y) { y = Relu (x) }")

    assert fixed.has_fixed_batch
    assert fixed.input_shape == (3,)


def refused(graph, **weights):
    with pytest.raises((ImportModelError, UnsupportedOpError)) as error:
        import_text(graph, **weights)
    return error.value


def test_a_larger_fixed_batch_is_refused():
    error = refused("net (float[8, 3] x) => (float[8, 3] y) { y = Relu (x) }")

    assert str(error) == (
        "import at 'x': has shape (8, 3); the first axis is the batch axis, of length 1 or "
        "dynamic\n  hint: export the model with batch size 1 or with a dynamic first axis"
    )


def test_another_dynamic_axis_is_refused():
    error = refused("net (float[N, 3, width] x) => (float[N, 3, width] y) { y = Relu (x) }")

    assert str(error) == (
        "import at 'x': has shape (N, 3, width); all axes but the first need a fixed length\n"
        "  hint: export the model with a fixed input shape"
    )


def test_more_elements_than_any_machine_holds_are_refused():
    error = refused(f"net (float[N, {2**40}] x) => (float[N, {2**40}] y) {{ y = Relu (x) }}")

    assert str(error) == (
        f"import at 'x': has shape (N, {2**40}); {2**27} elements are supported\n"
        "  hint: use a smaller input, or raise the limit with --max-elements"
    )


def test_layers_that_make_more_elements_than_any_machine_holds_are_refused():
    error = refused(
        f"""net (float[N, 2, 2, 2] x) => (float[N, 3, H, W] y) {{
            [conv] y = Conv <pads = [{2**30}, 0, {2**30}, 0]> (x, k) }}""",
        k=small_integers(3, 2, 1, 1),
    )

    assert str(error) == (
        f"import at 'conv': Conv makes {3 * (2**31 + 2) * 2} elements of one sample; {2**27} "
        "are supported for all nodes together\n"
        "  hint: use a smaller input, or raise the limit with --max-elements"
    )


def test_an_input_without_axes_is_refused():
    assert refused("net (float[N] x) => (float[N] y) { y = Relu (x) }").node == "x"


def test_of_two_inputs_a_sample_holds_both():
    model = import_text(
        "net (float[N, 3] a, int32[N, 2, 2] b) => (float[N, 7] y) "
        "{ c = Cast <to = 1> (b) d = Flatten (c) y = Concat <axis = 1> (a, d) }"
    )

    assert model.input_shape == (7,)
    check_against_onnxruntime(model, small_integers(4, 7))


def test_an_input_that_nothing_reads_is_refused():
    error = refused("net (float[N, 3] a, float[N, 3] b) => (float[N, 3] y) { y = Relu (a) }")

    assert str(error) == (
        "import at 'b': is one of 2 inputs, and nothing is computed from it\n"
        "  hint: remove the input, with onnx.utils.extract_model for instance"
    )


def test_windows_of_one_of_two_inputs_are_refused():
    with pytest.raises(UnsupportedOpError, match="says that one of 2 inputs has windows"):
        import_proto(
            spiking_model(
                """net (float[N, 3] a, float[N, 2, 3] b) => (float[N, 3] y) {
                    c = ai.snn_compile.FoldWindows <windows = 2> (b)
                    d = MatMul (c, w)
                    e = Add (a, d)
                    f = ai.snn_compile.MultiThreshold <windows = 2, levels = 2,
                        threshold = 1.0, mixing = [1.0, 0.0, 0.0, 1.0], retention = 1.0,
                        initial = 0.5> (e)
                    y = ai.snn_compile.AverageWindows <windows = 2> (f)
                }""",
                windows=2,
                w=small_integers(3, 3),
            )
        )


def test_a_model_without_input_is_refused():
    error = refused("net () => (float[1, 3] y) { y = Relu (w) }", w=small_integers(1, 3))

    assert error.problem == "has no input"


def test_a_model_without_output_is_refused():
    proto = text_model("net (float[1, 3] x) => (float[1, 3] y) { y = Relu (x) }")
    proto.graph.ClearField("output")

    with pytest.raises(ImportModelError) as error:
        import_proto(proto)

    assert error.value.problem == "has no output"


def test_an_output_that_is_a_constant_is_refused():
    error = refused("net (float[N, 3] x) => (float[3] y) { y = Relu (w) }", w=small_integers(3))

    assert error.node == "y"
    assert error.problem == "does not depend on the network's input"


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "string"])
def test_an_input_of_another_type_is_refused(dtype):
    model = text_model(f"net ({dtype}[N, 3] x) => ({dtype}[N, 3] y) {{ y = Identity (x) }}")

    with pytest.raises(ImportModelError, match="are supported") as error:
        import_proto(model)

    assert error.value.node == "x"


def test_a_kernel_larger_than_its_input_is_refused():
    model = text_model(
        "net (float[N, 1, 2, 2] x) => (float[N, 1, H, W] y) { [conv] y = Conv (x, k) }",
        k=small_integers(1, 1, 3, 3),
    )

    with pytest.raises(ImportModelError) as error:
        import_proto(model)

    assert str(error.value) == (
        "import at 'conv': Conv has an output whose shape does not follow from that of its "
        "input, (1, 1, 2, 2)\n  hint: use a larger input or a smaller kernel, and fixed shapes"
    )


def test_half_precision_models_are_imported():
    model = import_text(
        "net (float16[N, 4] x) => (float16[N, 3] y) { y = MatMul (x, w) }",
        w=small_integers(4, 3).astype(np.float16),
    )

    assert model.graph.input.dtype == "float16"
    check_against_onnxruntime(model, small_integers(2, 4))


def test_weights_of_another_float_are_refused():
    model = text_model(
        "net (float[N, 4] x) => (float[N, 4] y) { [add] y = Add (x, c) }", c=small_integers(4)
    )
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16

    with pytest.raises(ImportModelError):
        import_proto(model)
