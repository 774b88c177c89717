"""Relu, and a Clip that is one, become the activation that neurons replace."""

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Relu

INSIDE = "net (float[N, 4] x) => (float[N, 3] y) {{ [act] h = {}  y = MatMul (h, w) }}"
WEIGHT = small_integers(4, 3)


def test_a_relu_inside_the_network_is_an_activation():
    model = import_text(INSIDE.format("Relu (x)"), w=WEIGHT)

    (relu,) = model.graph.of_type(Relu)
    assert (relu.name, relu.tensor, relu.tensor_order) == ("act", "h", None)
    check_against_onnxruntime(model, small_integers(2, 4))


def test_the_order_of_the_onnx_value_is_kept_for_calibration():
    model = import_text(
        """net (float[N, 1, 4, 4] x) => (float[N, 2] y) {
            c = Conv (x, k)  t = Transpose <perm = [0, 2, 3, 1]> (c)  h = Relu (t)
            f = Flatten (h)  y = Gemm (f, w) }""",
        k=small_integers(3, 1, 3, 3),
        w=small_integers(12, 2),
    )

    (relu,) = model.graph.of_type(Relu)
    onnx_value = np.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(
        onnx_value.ravel()[relu.tensor_order].reshape(3, 2, 2), onnx_value.transpose(2, 0, 1)
    )
    check_against_onnxruntime(model, small_integers(2, 1, 4, 4))


def test_the_order_of_the_onnx_value_is_kept_when_the_input_is_rearranged():
    model = import_text(
        """net (float[N, 4, 4, 2] x) => (float[N, 3, 3, 3] y) {
            h = Relu (x)  t = Transpose <perm = [0, 3, 1, 2]> (h)  y = Conv (t, k) }""",
        k=small_integers(3, 2, 2, 2),
    )

    (relu,) = model.graph.of_type(Relu)
    np.testing.assert_array_equal(relu.tensor_order, model.graph.input.order)


def test_an_order_undone_by_rearranging_the_input_is_none():
    model = import_text(
        """net (float[N, 4, 4, 2] x) => (float[N, 3, 3, 3] y) {
            t = Transpose <perm = [0, 3, 1, 2]> (x)  h = Relu (t)  y = Conv (h, k) }""",
        k=small_integers(3, 2, 2, 2),
    )

    assert model.graph.of_type(Relu)[0].tensor_order is None
    assert model.graph.input.shape == (2, 4, 4)


def test_a_relu_that_only_the_output_reads_is_the_hosts():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [fc] h = Gemm (x, w)  [act] r = Relu (h)  [prob] y = Softmax (r) }""",
        w=WEIGHT,
    )

    assert not model.graph.of_type(Relu)
    assert [step.function for step in model.graph.output.tail] == ["relu", "softmax"]
    assert model.graph.output.inputs == ("fc",)
    assert model.graph.output.origin == ("act", "prob")
    check_against_onnxruntime(model, small_integers(2, 4))


def test_two_relus_at_the_end_stay_in_order():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            [fc] h = Gemm (x, w)  [one] r = Relu (h)  [two] y = Relu (r) }""",
        w=WEIGHT,
    )

    assert model.graph.output.origin == ("one", "two")


LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("operator", "opset"),
    [
        ("Clip <min = 0.0> (x)", 7),
        (f"Clip <min = 0.0, max = {LARGEST!r}> (x)", 10),
        ("Clip (x, low)", 11),
        ("Clip (x, low, high)", 13),
        ("Clip (x, low, largest)", 17),
    ],
)
def test_a_clip_at_zero_is_a_relu(operator, opset):
    model = import_text(
        INSIDE.format(operator),
        opset=opset,
        w=WEIGHT,
        low=np.array(0, np.float32),
        high=np.array(np.inf, np.float32),
        largest=np.array(LARGEST, np.float32),
    )

    assert len(model.graph.of_type(Relu)) == 1
    check_against_onnxruntime(model, small_integers(2, 4))


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 1), (-3, -1), (1, 2)])
def test_a_clip_with_two_limits_saturates(low, high):
    model = import_text(
        INSIDE.format("Clip (x, low, high)"),
        w=WEIGHT,
        low=np.array(low, np.float32),
        high=np.array(high, np.float32),
    )

    (relu,) = model.graph.of_type(Relu)
    assert relu.maximum == high - low
    check_against_onnxruntime(model, small_integers(5, 4))


@pytest.mark.parametrize(
    ("low", "high"), [(-1, np.inf), (1, np.inf), (-np.inf, 2), (-np.inf, -1), (-np.inf, np.inf)]
)
def test_a_clip_with_one_limit_or_none_keeps_the_other_side(low, high):
    model = import_text(
        INSIDE.format("Clip (x, low, high)"),
        w=WEIGHT,
        low=np.array(low, np.float32),
        high=np.array(high, np.float32),
    )

    check_against_onnxruntime(model, small_integers(5, 4))


@pytest.mark.parametrize(("low", "high"), [(2, 2), (3, -1)])
def test_a_clip_that_lets_nothing_pass_is_refused(low, high):
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            INSIDE.format("Clip (x, low, high)"),
            w=WEIGHT,
            low=np.array(low, np.float32),
            high=np.array(high, np.float32),
        )

    assert str(error.value) == (
        f"import at 'act': Clip limits its input to {low}..{high}; a lower limit must be below "
        "the upper one\n"
        "  hint: train with Relu or ReLU6"
    )
