"""Add, Sub, Mul and Div with a constant become a scale and a shift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Affine

SHAPES = [(), (1,), (4,), (3, 1), (3, 4), (2, 1, 1), (2, 3, 4), (1, 2, 1, 1), (1, 2, 3, 4)]


def positive_integers(*shape):
    return np.asarray(np.abs(small_integers(*shape)) + 1, np.float32)


@given(
    operator=st.sampled_from(["Add", "Sub", "Mul", "Div"]),
    shape=st.sampled_from(SHAPES),
    constant_first=st.booleans(),
    opset=st.sampled_from([7, 13, 14]),
)
@settings(max_examples=50, deadline=None)
def test_a_constant_operand_computes_the_same(operator, shape, constant_first, opset):
    operands = "c, x" if constant_first and operator != "Div" else "x, c"

    model = import_text(
        f"net (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y) {{ y = {operator} ({operands}) }}",
        opset=opset,
        c=positive_integers(*shape),
    )

    assert len(model.graph.of_type(Affine)) == 1
    check_against_onnxruntime(model, small_integers(2, 2, 3, 4))


@pytest.mark.parametrize(
    ("shape", "held"), [((1, 1, 1, 1), ()), ((2, 1, 1), (2, 1, 1)), ((3, 1), (2, 3, 4))]
)
def test_a_constant_is_held_in_the_smallest_shape_that_says_it(shape, held):
    model = import_text(
        "net (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y) { y = Mul (x, c) }",
        c=np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape),
    )

    assert model.graph.of_type(Affine)[0].scale.shape == held


def test_a_constant_over_the_last_axis_of_a_transposed_value_is_one_per_channel():
    model = import_text(
        """net (float[N, 1, 4, 4] x) => (float[N, 2, 2, 3] y) {
            c = Conv (x, k)  t = Transpose <perm = [0, 2, 3, 1]> (c)  y = Add (t, b) }""",
        k=small_integers(3, 1, 3, 3),
        b=np.array([1, 2, 3], np.float32),
    )

    (affine,) = model.graph.of_type(Affine)
    np.testing.assert_array_equal(affine.shift, np.reshape([1, 2, 3], (3, 1, 1)))
    check_against_onnxruntime(model, small_integers(2, 1, 4, 4))


def test_a_constant_minus_the_value_changes_its_sign():
    model = import_text(
        "net (float[N, 4] x) => (float[N, 4] y) { y = Sub (c, x) }", c=small_integers(4)
    )

    assert model.graph.of_type(Affine)[0].scale == -1


def test_division_by_the_value_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[N, 4] x) => (float[N, 4] y) { [q] y = Div (c, x) }", c=np.ones(4, "f4")
        )

    assert str(error.value) == (
        "import at 'q': Div divides by what the network computes; only a constant divisor is "
        "supported\n  hint: multiply by a constant, or divide outside the network"
    )


def test_division_by_zero_is_refused():
    with pytest.raises(UnsupportedOpError, match="divides by zero") as error:
        import_text(
            "net (float[N, 2] x) => (float[N, 2] y) { [q] y = Div (x, c) }",
            c=np.array([1, 0], np.float32),
        )

    assert error.value.node == "q"


def test_a_constant_that_widens_the_value_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[N, 1] x) => (float[N, 5] y) { [a] y = Add (x, c) }", c=np.ones(5, "f4")
        )

    assert str(error.value) == (
        "import at 'a': Add has a constant of shape (5,), which does not broadcast to (1, 1)\n"
        "  hint: repeat values with a convolution or dense layer instead"
    )


def test_arithmetic_on_integers_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (uint8[N, 4] x) => (uint8[N, 4] y) { [a] y = Add (x, c) }",
            opset=14,
            c=np.ones(4, np.uint8),
        )

    assert error.value.node == "a"
