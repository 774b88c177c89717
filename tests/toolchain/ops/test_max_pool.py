"""MaxPool and GlobalMaxPool become max pools with the same windows."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import MaxPool, SumPool


def pool(size, attributes, *, opset=17):
    shape = ", ".join(map(str, size))
    unknown = ", ".join("NCHW"[: len(size) + 1])
    return import_text(
        f"net (float[N, {shape}] x) => (float[{unknown}] y) "
        f"{{ [pool] y = MaxPool <{attributes}> (x) }}",
        opset=opset,
    )


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_windows_compute_the_same_as_in_onnxruntime(data):
    axes = data.draw(st.integers(1, 2))
    kernel = data.draw(st.lists(st.integers(2, 4), min_size=axes, max_size=axes))
    strides = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    pads = data.draw(st.lists(st.integers(0, 1), min_size=2 * axes, max_size=2 * axes))
    ceil_mode = data.draw(st.integers(0, 1))
    size = (2, *data.draw(st.lists(st.integers(4, 9), min_size=axes, max_size=axes)))
    attributes = (
        f"kernel_shape = {kernel}, strides = {strides}, pads = {pads}, ceil_mode = {ceil_mode}"
    )

    try:
        model = pool(size, attributes)
    except UnsupportedOpError as error:
        assume("runtimes disagree" not in error.problem)
        raise

    check_against_onnxruntime(model, small_integers(2, *size))


@pytest.mark.parametrize("mode", ["VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [(1, 7, 8), (1, 7)])
def test_automatic_padding_computes_the_same(mode, size):
    axes = len(size) - 1

    model = pool(
        size, f'kernel_shape = {[3] * axes}, strides = {[2] * axes}, auto_pad = "{mode}"'
    )

    check_against_onnxruntime(model, small_integers(2, *size))


def test_rounding_up_is_padding_at_the_end():
    model = pool((1, 5, 5), "kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1")

    assert model.graph["pool"].padding == ((0, 1), (0, 1))
    assert model.graph.shapes["pool"] == (1, 3, 3)


def test_padding_loses_against_negative_values():
    model = pool((1, 4, 4), "kernel_shape = [2, 2], pads = [1, 1, 1, 1]")

    check_against_onnxruntime(model, -abs(small_integers(2, 1, 4, 4)) - 1)


def test_zeros_added_after_a_relu_become_padding():
    model = import_text(
        """net (float[N, 1, 5, 5] x) => (float[N, 2, 2, 2] y) {
            c = Conv (x, k)  r = Relu (c)  [pad] p = Pad (r, sides)
            [pool] y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p) }""",
        k=small_integers(2, 1, 3, 3),
        sides=small_integers(8).astype("int64") * 0 + [0, 0, 1, 1, 0, 0, 1, 1],
    )

    assert model.graph["pool"].padding == ((1, 1), (1, 1))
    assert model.graph["pool"].origin == ("pad", "pool")
    assert not model.graph.of_type(SumPool)
    check_against_onnxruntime(model, small_integers(2, 1, 5, 5))


def test_zeros_added_to_signed_values_stay_zeros():
    model = import_text(
        """net (float[N, 1, 5, 5] x) => (float[N, 2, 2, 2] y) {
            c = Conv (x, k)  p = Pad (c, sides)
            y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (p) }""",
        k=small_integers(2, 1, 3, 3),
        sides=small_integers(8).astype("int64") * 0 + [0, 0, 1, 1, 0, 0, 1, 1],
    )

    assert model.graph.of_type(MaxPool)[0].padding == ((0, 0), (0, 0))
    check_against_onnxruntime(model, small_integers(2, 1, 5, 5))


@pytest.mark.parametrize("shape", ["2, 3, 4", "2, 5"])
def test_the_global_pool_has_one_window(shape):
    ones = "1, 1" if shape == "2, 3, 4" else "1"

    model = import_text(
        f"net (float[N, {shape}] x) => (float[N, 2, {ones}] y) {{ y = GlobalMaxPool (x) }}"
    )

    check_against_onnxruntime(model, small_integers(3, *map(int, shape.split(", "))))


def test_dilation_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        pool((1, 6, 6), "kernel_shape = [2, 2], dilations = [2, 2]")

    assert str(error.value) == (
        "import at 'pool': MaxPool has dilations=[2, 2]; only 1 is supported\n"
        "  hint: use a pool with a larger window"
    )


def test_indices_that_something_reads_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 1, 4, 4] x) => (float[N, 1, 3, 3] y) {
                [pool] p, indices = MaxPool <kernel_shape = [2, 2]> (x)
                [cast] y = Cast <to = 1> (indices) }"""
        )

    assert str(error.value) == (
        "import at 'pool': MaxPool computes 'indices' besides its first output, and something "
        "reads it\n"
        "  hint: drop the additional output"
    )


def test_windows_in_padding_alone_are_refused():
    with pytest.raises(UnsupportedOpError, match="as large as its window") as error:
        pool((1, 6, 6), "kernel_shape = [2, 2], pads = [2, 0, 0, 0]")

    assert error.value.node == "pool"


def test_a_switch_that_is_neither_on_nor_off_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        pool((1, 6, 6), "kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 2")

    assert error.value.node == "pool"
    assert error.value.problem == "MaxPool has ceil_mode=2; 0 or 1 is allowed"
