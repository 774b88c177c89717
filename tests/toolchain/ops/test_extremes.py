"""Max and Min compute what onnxruntime computes, of two values and of constants."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Affine, Relu

IMAGE = "net (float[N, 3, 4, 5] x) => (float[N, 3, 4, 5] y)"
LIMITS = {
    "one for all": np.array(2.0, np.float32),
    "zero": np.zeros(1, np.float32),
    "one for each channel": small_integers(3, 1, 1),
    "one for each value": small_integers(1, 3, 4, 5),
}


@pytest.mark.parametrize("op", ["Max", "Min"])
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("operands", ["x, c", "c, x", "c, x, d"])
def test_a_limit_may_be_any_constant(op, limit, operands):
    model = import_text(
        f"{IMAGE} {{ y = {op} ({operands}) }}", c=LIMITS[limit], d=np.array(-1, np.float32)
    )

    check_against_onnxruntime(model, small_integers(4, 3, 4, 5))


def test_the_largest_of_zero_and_a_value_is_a_rectifier():
    zero, weight = np.zeros((), np.float32), small_integers(3, 3, 1, 1)

    model = import_text(
        f"{IMAGE} {{ k = Conv (x, w) m = Max (zero, k) y = Conv (m, w) }}", zero=zero, w=weight
    )

    assert not model.graph.of_type(Affine)
    (relu,) = model.graph.of_type(Relu)
    assert relu.tensor == "m"


@pytest.mark.parametrize("op", ["Max", "Min"])
@pytest.mark.parametrize("opset", [7, 8, 12, 13])
def test_two_values_are_compared(op, opset):
    model = import_text(
        f"{IMAGE} {{ a = Conv (x, k) b = Conv (x, l) m = {op} (a, b) y = Conv (m, k) }}",
        opset=opset,
        k=small_integers(3, 3, 1, 1),
        l=small_integers(3, 3, 1, 1, seed=1),
    )

    check_against_onnxruntime(model, small_integers(4, 3, 4, 5))


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_a_value_is_compared_with_its_transpose(op):
    model = import_text(
        f"""net (float[N, 4, 4] x) => (float[N, 4, 4] y) {{
            t = Transpose <perm = [0, 2, 1]> (x)  y = {op} (t, x) }}"""
    )

    check_against_onnxruntime(model, small_integers(4, 4, 4))


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_three_values_are_refused(op):
    with pytest.raises(UnsupportedOpError) as error:
        import_text(f"{IMAGE} {{ a = Neg (x) b = Neg (a) [m] y = {op} (a, b, x) }}")

    assert error.value.node == "m"


LIMITED = (
    "r = Relu (k)  m = Min (r, six)",
    "r = Max (k, zero)  m = Min (six, r)",
    "r = Relu (k)  m = Min (r, six, seven)",
    "r = Relu (k)  m = Clip (r, , six)",
    "r = Clip (k, zero, seven)  s = Identity (r)  m = Min (s, six)",
)


def limited(lines):
    numbers = {"six": 6.0, "seven": 7.0, "zero": 0.0}
    return import_text(
        f"{IMAGE} {{ k = Conv (x, w) {lines} y = Conv (m, w) }}",
        w=small_integers(3, 3, 1, 1),
        **{name: np.array(number, np.float32) for name, number in numbers.items()},
    )


@pytest.mark.parametrize("lines", LIMITED)
def test_a_limited_rectifier_is_one_population(lines):
    model = limited(lines)

    check_against_onnxruntime(model, small_integers(4, 3, 4, 5))
    (relu,) = model.graph.of_type(Relu)
    assert (relu.maximum, relu.tensor) == (6.0, "m")
    assert not model.graph.of_type(Affine)


@pytest.mark.parametrize(
    "lines",
    [
        "r = Relu (k)  n = Min (r, six)  m = Add (n, r)",
        "r = Relu (k)  n = Add (r, k)  q = Min (r, six)  m = Add (n, q)",
        "r = Relu (k)  m = Min (r, zero)",
    ],
    ids=["read behind", "read before", "no room"],
)
def test_a_rectifier_that_others_read_keeps_its_values(lines):
    model = limited(lines)

    check_against_onnxruntime(model, small_integers(4, 3, 4, 5))
    assert next(relu.maximum for relu in model.graph.of_type(Relu)) == np.inf
