"""Quantizers are imported as the staircases that onnxruntime computes, halves to even."""

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError, VerifyError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.graph import Phase
from toolchain.ir.staircase import Staircase
from toolchain.rewriting import Context
from toolchain.target import TARGETS
from toolchain.testing import after_phase

QUANTIZED = """net (float[N, 4] x) => (float[N, 3] y) {{
    [q] i = QuantizeLinear (x, s{zero})  [d] h = DequantizeLinear (i, s{zero})
    y = MatMul (h, w) }}"""
WEIGHT = small_integers(4, 3)
SAMPLES = np.concatenate([np.linspace(-4, 4, 1001), np.arange(-9, 10) / 2])
SAMPLES = np.resize(SAMPLES, (255, 4)).astype(np.float32)


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zero", [0, 3, 100])
@pytest.mark.parametrize("scale", [1, 0.25, 0.0123])
def test_a_quantizer_rounds_and_limits_as_onnx_does(opset, dtype, zero, scale):
    model = import_text(
        QUANTIZED.format(zero=", z"),
        opset=opset,
        w=WEIGHT,
        s=np.array(scale, np.float32),
        z=np.array(zero, dtype),
    )

    (stairs,) = model.graph.of_type(Staircase)
    least = np.iinfo(dtype).min - zero
    assert (stairs.low, stairs.high, stairs.tensor_zero) == (least, least + 255, zero)
    check_against_onnxruntime(model, SAMPLES)


def test_without_a_zero_point_it_quantizes_to_uint8():
    model = import_text(QUANTIZED.format(zero=""), w=WEIGHT, s=np.array(0.5, np.float32))

    (stairs,) = model.graph.of_type(Staircase)
    assert (stairs.low, stairs.high) == (0, 255)
    check_against_onnxruntime(model, SAMPLES)


def test_a_scale_for_each_channel_goes_with_its_axis():
    model = import_text(
        QUANTIZED.format(zero=", z"),
        w=WEIGHT,
        s=np.array([0.5, 1, 2, 0.3], np.float32),
        z=np.zeros(4, np.int8),
    )

    check_against_onnxruntime(model, SAMPLES)


def test_integers_between_the_two_are_pooled_clipped_and_reshaped():
    model = import_text(
        """net (float[N, 1, 4, 4] x) => (float[N, 2] y) {
            i = QuantizeLinear (x, s, z)  p = MaxPool <kernel_shape = [2, 2]> (i)
            c = Clip (p, low, high)  t = Transpose <perm = [0, 2, 3, 1]> (c)
            f = Flatten (t)  h = DequantizeLinear (f, s, z)  y = Gemm (h, w) }""",
        s=np.array(0.25, np.float32),
        z=np.array(7, np.uint8),
        low=np.array(5, np.uint8),
        high=np.array(15, np.uint8),
        w=small_integers(9, 2),
    )

    check_against_onnxruntime(model, SAMPLES[:64].reshape(-1, 1, 4, 4))


def test_another_scale_behind_it_means_other_values():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            i = QuantizeLinear (x, s, z)  h = DequantizeLinear (i, r, o)
            y = MatMul (h, w) }""",
        w=WEIGHT,
        s=np.array(0.5, np.float32),
        z=np.array(3, np.uint8),
        r=np.array(2, np.float32),
        o=np.array(5, np.uint8),
    )

    check_against_onnxruntime(model, SAMPLES)


@pytest.mark.parametrize("rounding", ["Round", "Floor"])
def test_steps_may_be_rounded_and_limited_apart(rounding):
    model = import_text(
        f"""net (float[N, 4] x) => (float[N, 3] y) {{
            a = Div (x, s)  r = {rounding} (a)  c = Clip (r, low, high)
            h = Mul (c, s)  y = MatMul (h, w) }}""",
        w=WEIGHT,
        s=np.array(0.5, np.float32),
        low=np.array(-2, np.float32),
        high=np.array(5, np.float32),
    )

    check_against_onnxruntime(model, SAMPLES)


def test_the_host_quantizes_what_it_computes():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            a = MatMul (x, w)  b = Softmax (a)
            i = QuantizeLinear (b, s, z)  y = DequantizeLinear (i, s, z) }""",
        w=WEIGHT,
        s=np.array(1 / 256, np.float32),
        z=np.array(3, np.uint8),
    )

    check_against_onnxruntime(model, SAMPLES)


@pytest.mark.parametrize(
    ("scale", "zero", "problem"),
    [
        (np.float32(0), np.uint8(0), "has a scale of 0; it must be above 0"),
        (np.float32(-1), np.uint8(0), "has a scale of -1; it must be above 0"),
        (np.float32(np.nan), np.uint8(0), "has 1 of 1 elements that are not finite"),
        (np.ones(3, np.float32), np.zeros(3, np.uint8), "has a scale of shape (3,) for axis 1"),
        (np.ones(4, np.float32), np.arange(4, dtype=np.uint8), "has different zero points"),
    ],
)
def test_what_cannot_be_quantized_is_refused_by_name(scale, zero, problem):
    with pytest.raises(Exception, match=r"^import at '(q|s)'") as error:
        import_text(QUANTIZED.format(zero=", z"), w=WEIGHT, s=np.array(scale), z=np.array(zero))

    assert problem in str(error.value)


def test_a_float16_scale_is_as_good_as_any():
    model = import_text(
        """net (float16[N, 4] x) => (float16[N, 3] y) {
            i = QuantizeLinear (x, s, z)  h = DequantizeLinear (i, s, z)
            y = MatMul (h, w) }""",
        opset=19,
        w=WEIGHT.astype(np.float16),
        s=np.array(0.5, np.float16),
        z=np.array(3, np.uint8),
    )

    check_against_onnxruntime(model, SAMPLES.astype(np.float16))


def test_a_quantizer_to_8_bit_floats_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 4] x) => (float[N, 4] y) {
                z = Constant <value = float8e4m3fn {0}> ()
                i = QuantizeLinear (x, s, z)  y = DequantizeLinear (i, s, z) }""",
            opset=19,
            s=np.array(0.5, np.float32),
        )

    assert "integers of 4, 8 and 16 bits are supported" in str(error.value)


def test_scales_that_follow_the_sample_are_refused_with_the_way_out():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 4] x) => (float[N, 4] y) {
                [q] i, s, z = DynamicQuantizeLinear (x)  y = DequantizeLinear (i, s, z) }"""
        )

    assert error.value.node == "q"
    assert "statically" in error.value.hint


def test_rounding_without_limits_is_refused():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 3] y) {
            a = MatMul (x, k)  [r] b = Round (a)  y = MatMul (b, w) }""",
        k=small_integers(4, 4),
        w=WEIGHT,
    )
    context = Context(target=TARGETS["loihi2"], levels=4, method="mmse", lowering="temporal")

    with pytest.raises(VerifyError) as error:
        after_phase(model.graph, Phase.PREPARE, context)

    assert error.value.node == "r"
    assert error.value.problem == (
        "rounds to the steps -inf to inf; neurons count from 0 to a limit"
    )
