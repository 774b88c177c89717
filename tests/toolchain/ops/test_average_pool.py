"""Averages become a sum over windows and a scale, which divides by what each window holds."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Affine, Rearrange, SumPool


def pool(size, attributes, *, opset=22):
    shape = ", ".join(map(str, size))
    unknown = ", ".join("NCHW"[: len(size) + 1])
    return import_text(
        f"net (float[N, {shape}] x) => (float[{unknown}] y) "
        f"{{ [pool] y = AveragePool <{attributes}> (x) }}",
        opset=opset,
    )


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_windows_compute_the_same_as_in_onnxruntime(data):
    axes = data.draw(st.integers(1, 2))
    kernel = data.draw(st.lists(st.integers(2, 4), min_size=axes, max_size=axes))
    strides = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    pads = data.draw(st.lists(st.integers(0, 1), min_size=2 * axes, max_size=2 * axes))
    rounding, counting = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    opset = data.draw(st.sampled_from([10, 11, 19, 22]))
    size = (2, *data.draw(st.lists(st.integers(4, 9), min_size=axes, max_size=axes)))
    attributes = (
        f"kernel_shape = {kernel}, strides = {strides}, pads = {pads}, ceil_mode = {rounding}, "
        f"count_include_pad = {counting}"
    )

    try:
        model = pool(size, attributes, opset=opset)
    except UnsupportedOpError as error:
        assume("runtimes disagree" not in error.problem)
        raise

    check_against_onnxruntime(model, small_integers(2, *size))


@pytest.mark.parametrize("mode", ["VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("counting", [0, 1])
def test_automatic_padding_computes_the_same(mode, counting):
    attributes = f'kernel_shape = [3, 3], strides = [2, 2], auto_pad = "{mode}"'

    model = pool((2, 7, 8), f"{attributes}, count_include_pad = {counting}")

    check_against_onnxruntime(model, small_integers(2, 2, 7, 8))


def test_windows_that_cover_the_input_divide_by_one_number():
    model = pool((2, 6, 6), "kernel_shape = [2, 3], strides = [2, 3]")

    assert model.graph["pool"].scale == 1 / 6
    assert model.graph["pool/sum"].origin == model.graph["pool"].origin == ("pool",)


def test_windows_that_reach_over_the_edge_divide_per_position():
    model = pool((2, 2, 2), "kernel_shape = [2, 2], pads = [1, 1, 0, 0]")

    np.testing.assert_array_equal(1 / model.graph["pool"].scale, [[[1, 2], [2, 4]]])


def test_zeros_added_before_count_as_elements():
    model = import_text(
        """net (float[N, 2, 4, 4] x) => (float[N, 2, 3, 3] y) {
            [pad] p = Pad (x, sides)
            [pool] y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (p) }""",
        sides=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    )

    assert len(model.graph.of_type(SumPool)) == 1
    assert model.graph["pool/sum"].padding == ((1, 1), (1, 1))
    assert model.graph["pool/sum"].origin == ("pad", "pool")
    assert model.graph["pool"].scale == 0.25
    check_against_onnxruntime(model, small_integers(2, 2, 4, 4))


@pytest.mark.parametrize(("shape", "out"), [("2, 3, 4", "2, 1, 1"), ("2, 5", "2, 1")])
def test_the_global_pool_averages_all_positions(shape, out):
    model = import_text(
        f"net (float[N, {shape}] x) => (float[N, {out}] y) {{ y = GlobalAveragePool (x) }}"
    )

    check_against_onnxruntime(model, small_integers(3, *map(int, shape.split(", "))))


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize(
    ("op", "opset", "is_input"),
    [
        ("ReduceMean", 11, False),
        ("ReduceMean", 18, True),
        ("ReduceSum", 11, False),
        ("ReduceSum", 13, True),
        ("ReduceMax", 7, False),
        ("ReduceMax", 13, False),
        ("ReduceMax", 18, True),
        ("ReduceMax", 20, True),
    ],
)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 3, 4), [2, 3]), ((2, 3, 4), [-1]), ((2, 3, 4), [2]), ((2, 5), [2])],
)
def test_a_reduction_over_spatial_axes_is_a_pool(shape, axes, keep, op, opset, is_input):
    unknown = [*"NABC"[: len(shape) + 1 - (0 if keep else len(axes))]]
    call = f"<axes = {axes}, keepdims = {keep}> (x)"
    if is_input:
        call = f"<keepdims = {keep}> (x, axes)"

    model = import_text(
        f"net (float[N, {', '.join(map(str, shape))}] x) => (float[{', '.join(unknown)}] y) "
        f"{{ y = {op} {call} }}",
        opset=opset,
        axes=np.array([axis % (len(shape) + 1) for axis in axes] if opset == 7 else axes),
    )

    assert not model.graph.of_type(Rearrange)
    check_against_onnxruntime(model, small_integers(2, *shape))


def test_a_mean_over_the_spatial_axes_of_a_transposed_value_needs_no_rearrangement():
    model = import_text(
        """net (float[N, 1, 4, 5] x) => (float[N, 3] y) {
            c = Conv (x, k)  t = Transpose <perm = [0, 2, 3, 1]> (c)
            y = ReduceMean <axes = [1, 2], keepdims = 0> (t) }""",
        opset=13,
        k=small_integers(3, 1, 3, 3),
    )

    assert not model.graph.of_type(Rearrange)
    check_against_onnxruntime(model, small_integers(2, 1, 4, 5))


def test_a_mean_over_one_axis_of_a_transposed_value_keeps_the_order_of_the_rest():
    model = import_text(
        """net (float[N, 1, 4, 5] x) => (float[N, 3, 2] y) {
            c = Conv (x, k)  t = Transpose <perm = [0, 3, 2, 1]> (c)
            y = ReduceMean <axes = [2], keepdims = 0> (t) }""",
        opset=13,
        k=small_integers(2, 1, 3, 3),
    )

    check_against_onnxruntime(model, small_integers(2, 1, 4, 5))


def test_a_mean_over_the_first_of_two_axes_takes_the_last_as_channels():
    model = import_text(
        "net (float[N, 5, 3] x) => (float[N, 3] y) "
        "{ y = ReduceMean <axes = [1], keepdims = 0> (x) }",
        opset=13,
    )

    assert model.graph.input.shape == (3, 1, 5)
    check_against_onnxruntime(model, small_integers(2, 5, 3))


def test_a_mean_over_channels_last_of_the_input_rearranges_the_input():
    model = import_text(
        "net (float[N, 4, 5, 3] x) => (float[N, 3] y) "
        "{ y = ReduceMean <axes = [1, 2], keepdims = 0> (x) }",
        opset=13,
    )

    assert model.graph.input.shape == (3, 4, 5)
    assert not model.graph.of_type(Rearrange)
    check_against_onnxruntime(model, small_integers(2, 4, 5, 3))


@pytest.mark.parametrize("attributes", ["axes = [0, 2]", "axes = [1, 2, 3]", "keepdims = 1"])
def test_a_mean_over_samples_or_everything_is_refused(attributes):
    with pytest.raises(UnsupportedOpError, match="ReduceMean reduces axes") as error:
        import_text(
            "net (float[1, 2, 3, 4] x) => (float[N, C, H, W] y) "
            f"{{ [mean] y = ReduceMean <{attributes}> (x) }}",
            opset=13,
        )

    assert error.value.node == "mean"


def test_dilation_is_refused():
    with pytest.raises(UnsupportedOpError, match=r"dilations=\[2, 1\]; only 1") as error:
        pool((1, 6, 6), "kernel_shape = [2, 2], dilations = [2, 1]")

    assert error.value.node == "pool"


def test_the_scale_of_an_average_is_exact():
    model = pool((1, 6, 6), "kernel_shape = [3, 3]")

    assert model.graph.of_type(Affine)[0].scale.dtype == np.float64
