"""Activations of straight pieces are exactly rectifiers with scales and shifts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Relu

X = small_integers(3, 2, 3, 4)


def activated(call, **weights):
    return import_text(
        f"net (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y) {{ [act] y = {call} }}", **weights
    )


@settings(max_examples=30)
@given(st.sampled_from([-2.0, -0.25, 0.0, 0.01, 1.0, 3.0]))
def test_a_leaky_rectifier_computes_the_same_with_any_slope(alpha):
    check_against_onnxruntime(activated(f"LeakyRelu <alpha = {alpha}> (x)"), X)


def test_one_population_stands_for_each_sign():
    model = activated("LeakyRelu (x)")

    assert [node.name for node in model.graph.of_type(Relu)] == ["act/positive", "act/negative"]


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 1), (2, 1, 1), (2, 3, 4)])
def test_slopes_of_any_shape_compute_the_same(shape):
    check_against_onnxruntime(activated("PRelu (x, s)", s=small_integers(*shape) / 4), X)


def test_slopes_of_channels_follow_a_transposed_value():
    model = import_text(
        """net (float[N, 2, 3, 4] x) => (float[N, 3, 4, 2] y) {
            t = Transpose <perm = [0, 2, 3, 1]> (x)  y = PRelu (t, s) }""",
        s=np.array([0.5, -0.25], np.float32),
    )

    check_against_onnxruntime(model, X)


def test_a_magnitude_computes_the_same():
    check_against_onnxruntime(activated("Abs (x)"), X)


@pytest.mark.parametrize(("alpha", "beta"), [(0.25, 0.5), (0.5, 0.0), (1.0, -1.0), (2.0, 2.0)])
def test_a_hard_sigmoid_saturates_at_one(alpha, beta):
    model = activated(f"HardSigmoid <alpha = {alpha}, beta = {beta}> (x)")

    (relu,) = model.graph.of_type(Relu)
    assert relu.maximum == 1
    check_against_onnxruntime(model, X)


def test_a_hard_sigmoid_that_falls_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        activated("HardSigmoid <alpha = -0.5> (x)")

    assert str(error.value) == (
        "import at 'act': HardSigmoid has alpha=-0.5; it must be above 0"
    )
