"""Transposed convolutions compute what onnxruntime does, whatever their geometry."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Conv, Rearrange


def transposed(size, shape, attributes, weight, bias=None):
    weights = {"k": weight} if bias is None else {"k": weight, "b": bias}
    inputs = ", ".join(["x", *weights])
    sizes, shapes = (", ".join(map(str, axes)) for axes in (size, shape))
    return import_text(
        f"net (float[N, 4, {sizes}] x) => (float[N, {shapes}] y) "
        f"{{ [up] y = ConvTranspose <{attributes}> ({inputs}) }}",
        **weights,
    )


@settings(max_examples=60)
@given(st.data())
def test_every_geometry_computes_the_same(data):
    axes = data.draw(st.sampled_from([1, 2]))
    groups = data.draw(st.sampled_from([1, 2]))

    def each(low, high):
        return [data.draw(st.integers(low, high)) for _ in range(axes)]

    size, kernel, stride, dilation = each(1, 5), each(1, 3), each(1, 3), each(1, 2)
    extra = [data.draw(st.integers(0, step - 1)) for step in stride]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    pads = [data.draw(st.integers(0, r)) for r in (*reach, *reach)]
    shape = [
        stride[i] * (size[i] - 1) + reach[i] + 1 + extra[i] - pads[i] - pads[i + axes]
        for i in range(axes)
    ]
    assume(min(shape) > 0)
    attributes = (
        f"strides = {stride}, dilations = {dilation}, pads = {pads}, group = {groups}, "
        f"output_padding = {extra}"
    )

    model = transposed(
        size,
        (3 * groups, *shape),
        attributes,
        small_integers(4, 3, *kernel),
        small_integers(3 * groups) if data.draw(st.booleans()) else None,
    )

    check_against_onnxruntime(model, small_integers(2, 4, *size, seed=1))


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_padding_that_is_worked_out_computes_the_same(mode, kernel):
    wide = 3 * 4 + kernel if mode == "VALID" else 15

    model = transposed(
        (5, 5),
        (3, wide, wide),
        f'strides = [3, 3], auto_pad = "{mode}"',
        small_integers(4, 3, kernel, kernel),
    )

    check_against_onnxruntime(model, small_integers(2, 4, 5, 5))


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_a_shape_of_the_output_says_the_padding(mode):
    model = transposed(
        (4, 4),
        (3, 8, 7),
        f'strides = [2, 2], output_shape = [8, 7], auto_pad = "{mode}"',
        small_integers(4, 3, 3, 3),
    )

    check_against_onnxruntime(model, small_integers(2, 4, 4, 4))


def test_without_a_stride_it_is_a_convolution():
    model = transposed((4, 4), (3, 6, 6), "pads = [0, 0, 0, 0]", small_integers(4, 3, 3, 3))

    assert not model.graph.of_type(Rearrange)
    assert [node.name for node in model.graph.of_type(Conv)] == ["up"]


def test_a_stride_puts_zeros_between_the_values():
    model = transposed((4, 4), (3, 9, 9), "strides = [2, 2]", small_integers(4, 3, 3, 3))

    (zeros,) = model.graph.of_type(Rearrange)
    assert zeros.shape == (4, 7, 7)
    assert np.count_nonzero(zeros.order >= 0) == 4 * 4 * 4


def test_padding_beyond_the_kernel_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        transposed((5, 5), (3, 3, 5), "pads = [1, 0, 1, 0]", small_integers(4, 3, 1, 1))

    assert str(error.value) == (
        "import at 'up': ConvTranspose has pads that remove more than the kernel adds: "
        "[(-1, -1), (0, 0)]\n"
        "  hint: crop the output with a Slice instead"
    )


def test_three_spatial_axes_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        transposed(
            (2, 2, 2), (3, 3, 3, 3), "strides = [1, 1, 1]", small_integers(4, 3, 2, 2, 2)
        )

    assert "reads 3 spatial axes; 1 and 2 are supported" in error.value.problem
