"""What does not depend on the sample is computed once, within bounds, and accounted for."""

import numpy as np
import onnx
import pytest

from toolchain.errors import ImportModelError, UnsupportedOpError
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    import_text,
    small_integers,
    text_model,
)
from toolchain.ir.ann import Dense
from toolchain.limits import Limits

ADD = "net (float[N, 3] x) => (float[N, 3] y) {{ {} [add] y = Add (x, c) }}"


@pytest.mark.parametrize(
    "lines",
    [
        "[k] c = Constant <value = float[3] {1, 2, 3}> ()",
        "[k] c = Constant <value_floats = [1.0, 2.0, 3.0]> ()",
        "[k] c = Mul (a, b)",
        "[k] c = Identity (a)",
        "[k] c = Cast <to = 1> (i)",
        "[k] c = ConstantOfShape <value = float[1] {2}> (three)",
        "[k] c = Gather (a, i)",
        "[k] c = DequantizeLinear (q, scale)",
    ],
)
def test_a_constant_is_computed_and_noted(lines):
    model = import_text(
        ADD.format(lines),
        opset=21,
        a=small_integers(3),
        b=small_integers(3, seed=1),
        i=np.array([2, 0, 1]),
        q=np.array([-3, 0, 5], np.int8),
        scale=np.array(0.5, np.float32),
        three=np.array([3]),
    )

    assert model.graph.constants == ("k",)
    check_against_onnxruntime(model, small_integers(2, 3))


def test_the_usual_flatten_of_a_traced_model_is_a_constant_shape():
    model = import_text(
        """net (float[N, 2, 3] x) => (float[N, 4] y) {
            [s] s = Shape (x)  [g] n = Gather (s, zero)  [u] n1 = Unsqueeze (n, axes)
            [c] target = Concat <axis = 0> (n1, rest)
            [view] f = Reshape (x, target)  [fc] y = MatMul (f, w) }""",
        zero=np.array(0),
        axes=np.array([0]),
        rest=np.array([-1]),
        w=small_integers(6, 4),
    )

    assert model.graph.constants == ("s", "g", "u", "c")
    check_against_onnxruntime(model, small_integers(3, 2, 3))


def test_part_of_a_shape_and_the_number_of_elements_are_constants():
    model = import_text(
        """net (float[N, 2, 3, 2] x) => (float[N, 2, 6] y) {
            [part] s = Shape <start = 1, end = 2> (x)  [size] n = Size (x)
            [one] o = Div (n, twelve)  [first] o1 = Reshape (o, minus)
            [target] t = Concat <axis = 0> (o1, s, minus)  [view] y = Reshape (x, t) }""",
        minus=np.array([-1]),
        twelve=np.array(12),
    )

    assert model.graph.constants == ("part", "size", "one", "first", "target")
    assert model.graph.shapes[model.graph.output.name] == (2, 6)


def test_weights_computed_from_weights_are_folded():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [turn] t = Transpose (w)  [fc] y = MatMul (x, t) }""",
        w=small_integers(3, 4),
    )

    assert model.graph.of_type(Dense)[0].weight.shape == (3, 4)
    check_against_onnxruntime(model, small_integers(2, 4))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_their_name(value):
    weight = small_integers(4, 3)
    weight[1, 2] = value

    with pytest.raises(ImportModelError) as error:
        import_text(
            "net (float[N, 4] x) => (float[N, 3] y) { y = MatMul (x, kernel) }", kernel=weight
        )

    assert str(error.value) == (
        "import at 'kernel': has 1 of 12 elements that are not finite\n"
        "  hint: train the model again: its weights overflowed"
    )


def test_computed_weights_that_are_not_finite_are_refused_where_they_are_used():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(ADD.format("c = Log (zeros)"), zeros=np.zeros(3, np.float32))

    assert str(error.value) == (
        "import at 'add': Add has a B that is not finite\n"
        "  hint: train the model again: its weights overflowed"
    )


def test_random_constants_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(ADD.format("[dice] c = RandomNormal <shape = [3]> ()"))

    assert str(error.value) == (
        "import at 'dice': RandomNormal makes a constant, and is not one of the operators that "
        "are computed on import\n"
        "  hint: fold constants when exporting, or with onnxruntime's offline optimization"
    )


@pytest.mark.parametrize(
    ("lines", "amount"),
    [
        ("[big] c = ConstantOfShape (huge)", str(2**60)),
        ("[big] c = Expand (one, huge)", str(2**60)),
        ("[big] c = Tile (one, huge)", str(2**60)),
    ],
)
def test_a_few_bytes_cannot_ask_for_all_memory(lines, amount):
    with pytest.raises(ImportModelError) as error:
        import_text(
            f"net (float[N, 3] x) => (float[N, 3] y) {{ {lines} y = Relu (x) }}",
            huge=np.array([2**30, 2**30]),
            one=np.ones((1, 1), np.float32),
        )

    assert str(error.value) == (
        f"import at 'big': {lines.split()[3]} makes a constant of {amount} elements; "
        f"{2**27} are computed on import at most, {2**28} together\n"
        "  hint: fold constants when exporting, or raise the limit with --max-elements"
    )


def test_many_constants_share_one_limit():
    model = text_model(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [a] a = Neg (six)  [b] b = Neg (six)  [c] c = Neg (six)  y = Relu (x) }""",
        six=small_integers(6),
    )

    with pytest.raises(ImportModelError) as error:
        import_proto(model, Limits(elements=8))

    assert error.value.node == "c"


def test_long_multiplications_count():
    model = text_model(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [mm] a = MatMul (wide, tall)  y = Relu (x) }""",
        wide=small_integers(20, 400),
        tall=small_integers(400, 20),
    )

    with pytest.raises(ImportModelError) as error:
        import_proto(model, Limits(elements=1000))

    assert error.value.node == "mm"


def test_elements_that_are_not_in_the_file_are_refused():
    model = text_model(ADD.format(""), c=small_integers(3))
    model.graph.initializer[0].dims[0] = 2**40

    with pytest.raises(ImportModelError) as error:
        import_proto(model)

    assert error.value.node in ("c", "add") or error.value.node.endswith("model.onnx")


def test_a_node_whose_shapes_do_not_fit_is_refused_by_its_name():
    model = text_model(ADD.format(""), c=small_integers(3))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(small_integers(4), "c"))

    with pytest.raises(ImportModelError, match="Add is inconsistent, says onnx") as error:
        import_proto(model)

    assert error.value.node == "add"


def test_a_declared_shape_that_does_not_hold_is_refused():
    model = text_model("net (float[N, 3] x) => (float[N, 3] y) { y = Relu (x) }")
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4

    with pytest.raises(ImportModelError, match="is inconsistent, says onnx"):
        import_proto(model)
