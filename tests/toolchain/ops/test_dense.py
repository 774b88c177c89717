"""Gemm and MatMul become dense layers that compute the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Conv, Dense, Rearrange

GEMM = "net (float[N, 4] x) => (float[N, 3] y) {{ [fc] y = Gemm <{}> ({}) }}"


@given(
    alpha=st.sampled_from([1.0, 0.5, -2.0]),
    beta=st.sampled_from([1.0, 0.0, 3.0]),
    transposed=st.booleans(),
    bias=st.sampled_from([None, (), (1,), (3,), (1, 1), (1, 3)]),
)
@settings(max_examples=40, deadline=None)
def test_gemm_computes_the_same_as_in_onnxruntime(alpha, beta, transposed, bias):
    weights = {"w": small_integers(*((3, 4) if transposed else (4, 3)))}
    if bias is not None:
        weights["b"] = small_integers(*bias, seed=1)
    attributes = f"alpha = {alpha}, beta = {beta}, transB = {int(transposed)}"

    model = import_text(
        GEMM.format(attributes, "x, w" if bias is None else "x, w, b"), **weights
    )

    check_against_onnxruntime(model, small_integers(5, 4, seed=2))


def test_gemm_keeps_weights_in_the_type_of_the_file():
    weight = small_integers(3, 4)

    model = import_text(GEMM.format("transB = 1", "x, w, b"), w=weight, b=small_integers(3))

    (dense,) = model.graph.of_type(Dense)
    assert dense.name == "fc"
    assert dense.weight.dtype == dense.bias.dtype == np.float32
    np.testing.assert_array_equal(dense.weight, weight)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1, 1, 6)])
def test_matmul_is_a_dense_layer_for_a_flat_sample(shape):
    axes, out = str(list(shape))[1:-1], str([*shape[:-1], 5])[1:-1]

    model = import_text(
        f"net (float[N, {axes}] x) => (float[N, {out}] y) {{ y = MatMul (x, w) }}",
        w=small_integers(6, 5),
    )

    assert model.graph.of_type(Dense)[0].weight.shape == (5, 6)
    assert model.graph.shapes[model.graph.output.name] == (*shape[:-1], 5)
    check_against_onnxruntime(model, small_integers(3, *shape))


def test_a_dense_layer_after_a_flatten_reads_a_rearrangement():
    model = import_text(
        "net (float[N, 1, 4, 4] x) => (float[N, 3] y) "
        "{ c = Conv (x, k) [flat] f = Flatten (c) y = Gemm (f, w) }",
        k=small_integers(2, 1, 3, 3),
        w=small_integers(8, 3),
    )

    (rearrange,) = model.graph.of_type(Rearrange)
    assert (rearrange.name, rearrange.shape, rearrange.order) == ("flat", (8,), None)
    assert rearrange.origin == ("flat",)
    check_against_onnxruntime(model, small_integers(2, 1, 4, 4, seed=3))


def test_gemm_with_the_batch_axis_last_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 4] x) => (float[4, 3] y) { [fc] y = Gemm <transA = 1> (x, w) }",
            w=small_integers(1, 3),
        )

    assert error.value.node == "fc"


def test_transposed_activations_are_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 1] x) => (float[1, 3] y) { [fc] y = Gemm <transA = 1> (x, w) }",
            w=small_integers(1, 3),
        )

    assert str(error.value) == (
        "import at 'fc': Gemm has transA=1; only transA=0 keeps the batch axis first\n"
        "  hint: transpose the activations before the layer when exporting"
    )


@pytest.mark.parametrize(
    ("shape", "graph"),
    [
        ("2, 6", "y = MatMul (x, w)"),
        ("3, 4, 6", "y = MatMul (x, w)"),
        ("6, 4", "t = Transpose <perm = [0, 2, 1]> (x)  y = MatMul (t, w)"),
        ("6, 3, 4", "t = Transpose <perm = [0, 2, 3, 1]> (x)  y = MatMul (t, w)"),
        ("6, 4", "t = Transpose <perm = [0, 2, 1]> (x) m = MatMul (t, w) y = Add (m, b)"),
    ],
)
def test_a_matrix_for_every_row_of_a_sample_is_a_convolution(shape, graph):
    axes = "A, 5" if shape.count(",") == 1 else "A, B, 5"
    model = import_text(
        f"net (float[N, {shape}] x) => (float[N, {axes}] y) {{ {graph} }}",
        w=small_integers(6, 5),
        b=small_integers(5),
    )

    (conv,) = model.graph.of_type(Conv)
    assert conv.kernel == (1, 1)
    check_against_onnxruntime(model, small_integers(3, *map(int, shape.split(", "))))


def test_a_matrix_for_rows_of_more_axes_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[N, 2, 2, 2, 6] x) => (float[N, 2, 2, 2, 5] y) "
            "{ [m] y = MatMul (x, w) }",
            w=small_integers(6, 5),
        )

    assert str(error.value) == (
        "import at 'm': MatMul applies one matrix to each of 8 rows of a sample (2, 2, 2, 6); "
        "up to 2 axes of rows are supported\n"
        "  hint: merge axes before the layer"
    )


def test_a_product_of_two_values_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text("net (float[N, 4, 4] x) => (float[N, 4, 4] y) { [m] y = MatMul (x, x) }")

    assert error.value.node == "m"
    assert "a spike cannot scale another" in error.value.hint


def test_a_constant_left_operand_is_refused():
    with pytest.raises(UnsupportedOpError, match="MatMul has a constant as A") as error:
        import_text(
            "net (float[1, 4] x) => (float[1, 4] y) { [mm] y = MatMul (w, x) }",
            w=small_integers(1, 1),
        )

    assert error.value.node == "mm"


def test_a_stack_of_matrices_is_refused():
    with pytest.raises(
        UnsupportedOpError, match=r"right operand of shape \(1, 6, 5\)"
    ) as error:
        import_text(
            "net (float[N, 1, 6] x) => (float[N, 1, 5] y) { [mm] y = MatMul (x, w) }",
            w=small_integers(1, 6, 5),
        )

    assert error.value.node == "mm"
