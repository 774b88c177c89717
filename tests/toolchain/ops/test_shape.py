"""Flatten, Reshape, Squeeze, Unsqueeze and Transpose change how values are seen, no more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Input, Output, Rearrange


@st.composite
def chains(draw):
    """Draw operators in a row, as text and initializers, on a sample ``(2, 3, 4)``."""
    shape, lines, weights = (2, 3, 4), [], {}
    for i in range(draw(st.integers(1, 5))):
        source, result = f"v{i}", f"v{i + 1}"
        operator = draw(
            st.sampled_from(["Flatten", "Reshape", "Transpose", "Unsqueeze", "Squeeze"])
        )
        rank = len(shape) + 1
        if operator == "Transpose":
            axes = draw(st.permutations(range(1, rank)))
            lines.append(f"{result} = Transpose <perm = {[0, *axes]}> ({source})")
            shape = tuple(shape[axis - 1] for axis in axes)
        elif operator == "Unsqueeze" and rank < 6:
            axis = draw(st.integers(1, rank))
            weights[f"c{i}"] = np.array([axis])
            lines.append(f"{result} = Unsqueeze ({source}, c{i})")
            shape = (*shape[: axis - 1], 1, *shape[axis - 1 :])
        elif operator == "Squeeze" and 1 in shape:
            weights[f"c{i}"] = np.array([shape.index(1) - len(shape)])
            lines.append(f"{result} = Squeeze ({source}, c{i})")
            shape = (*shape[: shape.index(1)], *shape[shape.index(1) + 1 :])
        elif operator == "Reshape":
            shape = draw(st.sampled_from([(24,), (4, 6), (3, 2, 4), (2, 2, 2, 3)]))
            weights[f"c{i}"] = np.array([0, -1, *shape[1:]])
            lines.append(f"{result} = Reshape ({source}, c{i})")
        else:
            lines.append(f"{result} = Flatten ({source})")
            shape = (24,)
    return "\n".join(lines), f"v{len(lines)}", shape, weights


@given(chains())
@settings(max_examples=60, deadline=None)
def test_any_chain_gives_the_same_values_without_a_node(case):
    lines, last, shape, weights = case

    model = import_text(
        f"net (float[N, 2, 3, 4] v0) => (float[N, {str(list(shape))[1:-1]}] {last}) "
        f"{{ {lines} }}",
        **weights,
    )

    assert [type(node) for node in model.graph] == [Input, Output]
    check_against_onnxruntime(model, small_integers(2, 2, 3, 4))


@given(chains())
@settings(max_examples=30, deadline=None)
def test_any_chain_before_a_dense_layer_computes_the_same(case):
    lines, last, _, weights = case

    model = import_text(
        f"""net (float[N, 1, 4, 5] x) => (float[N, 3] y) {{
            v0 = Conv (x, k)  {lines}  f = Flatten ({last})  y = Gemm (f, w) }}""",
        k=small_integers(2, 1, 2, 2),
        w=small_integers(24, 3),
        **weights,
    )

    assert len(model.graph.of_type(Rearrange)) == 1
    check_against_onnxruntime(model, small_integers(2, 1, 4, 5))


def test_channels_last_models_only_rearrange_their_input_and_before_the_dense_layer():
    model = import_text(
        """net (float[N, 6, 6, 1] x) => (float[N, 3] y) {
            [in] t1 = Transpose <perm = [0, 3, 1, 2]> (x)
            c1 = Conv (t1, k1)
            t2 = Transpose <perm = [0, 2, 3, 1]> (c1)
            r = Relu (t2)
            t3 = Transpose <perm = [0, 3, 1, 2]> (r)
            c2 = Conv (t3, k2)
            [out] t4 = Transpose <perm = [0, 2, 3, 1]> (c2)
            [flat] f = Flatten (t4)
            y = Gemm (f, w) }""",
        k1=small_integers(2, 1, 3, 3),
        k2=small_integers(3, 2, 3, 3),
        w=small_integers(12, 3),
    )

    (rearrange,) = model.graph.of_type(Rearrange)
    assert (rearrange.name, rearrange.origin) == ("flat", ("out", "flat"))
    np.testing.assert_array_equal(
        rearrange.order, np.arange(12).reshape(3, 2, 2).transpose(1, 2, 0).ravel()
    )
    assert model.graph.input.shape == (1, 6, 6)
    assert model.graph.input.source_shape == (6, 6, 1)
    assert model.graph.input.origin == ("in",)
    check_against_onnxruntime(model, small_integers(2, 6, 6, 1))


def test_normalization_of_a_channels_last_input_is_rearranged_with_it():
    model = import_text(
        """net (float[N, 4, 5, 3] x) => (float[N, 2, 2, 3] y) {
            s = Sub (x, mean)  r = Relu (s)
            t = Transpose <perm = [0, 3, 1, 2]> (r)  y = Conv (t, k) }""",
        mean=np.array([1, 2, 3], np.float32),
        k=small_integers(2, 3, 3, 3),
    )

    assert model.graph.input.shape == (3, 4, 5)
    assert not model.graph.of_type(Rearrange)
    check_against_onnxruntime(model, small_integers(2, 4, 5, 3))


def test_a_flat_input_enters_as_an_image():
    model = import_text(
        """net (float[N, 16] x) => (float[N, 2, 3, 3] y) {
            i = Reshape (x, shape)  y = Conv (i, k) }""",
        shape=np.array([-1, 1, 4, 4]),
        k=small_integers(2, 1, 2, 2),
    )

    assert model.graph.input.source_shape == (16,)
    assert model.graph.input.shape == (1, 4, 4)
    assert model.graph.input.order is None


def test_an_order_that_a_convolution_needs_is_made_between_layers():
    model = import_text(
        """net (float[N, 1, 4, 5] x) => (float[N, 1, 1, 3] y) {
            c1 = Conv (x, k1)  [turn] t = Transpose <perm = [0, 2, 1, 3]> (c1)
            y = Conv (t, k2) }""",
        k1=small_integers(2, 1, 2, 2),
        k2=small_integers(1, 3, 2, 2),
    )

    (rearrange,) = model.graph.of_type(Rearrange)
    assert (rearrange.name, rearrange.shape) == ("turn", (3, 2, 4))
    check_against_onnxruntime(model, small_integers(2, 1, 4, 5))


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        ("Flatten <axis = 0> (x)", "1, 6"),
        ("Flatten <axis = 2> (x)", "2, 3"),
        ("Transpose (x)", "3, 2, 1"),
        ("Transpose <perm = [1, 0, 2]> (x)", "2, 1, 3"),
        ("Reshape (x, shape)", "3, 2"),
    ],
)
def test_what_moves_the_batch_axis_is_refused(operator, shape):
    with pytest.raises(UnsupportedOpError, match="the batch axis must stay the first") as error:
        import_text(
            f"net (float[1, 2, 3] x) => (float[{shape}] y) {{ [move] y = {operator} }}",
            shape=np.array([3, 2]),
        )

    assert error.value.node == "move"
    assert error.value.hint == "rearrange within the sample only"


def test_a_squeeze_that_removes_the_batch_axis_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 1, 3] x) => (float[1, 3] y) { [move] y = Squeeze (x, axes) }",
            axes=np.array([0]),
        )

    assert str(error.value) == (
        "import at 'move': Squeeze removes axis 0; the batch axis must stay the first\n"
        "  hint: rearrange within the sample only"
    )


def test_a_squeeze_of_whatever_has_length_one_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text("net (float[1, 2, 1] x) => (float[A] y) { [s] y = Squeeze (x) }")

    assert str(error.value) == (
        "import at 's': Squeeze has no axes, so it removes the batch axis too when that has "
        "length 1\n  hint: give it the axes to remove"
    )


def test_an_unsqueeze_before_the_batch_axis_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 3] x) => (float[1, 1, 3] y) { [u] y = Unsqueeze (x, axes) }",
            axes=np.array([0]),
        )

    assert error.value.problem == "Unsqueeze adds axis 0; the batch axis must stay the first"


@pytest.mark.parametrize(
    ("shape", "axis", "indices"),
    [("2, 3", 1, [1, 0]), ("2, 3", 2, [2, 0, 1]), ("2, 3", -1, [0, -1, 1]), ("5", 1, range(5))],
)
def test_a_gather_of_everything_changes_the_order(shape, axis, indices):
    model = import_text(
        f"net (float[N, {shape}] x) => (float[N, M] y) {{"
        f" a = Gather <axis = {axis}> (x, order) b = Flatten (a) y = MatMul (b, w) }}",
        order=np.array(list(indices)),
        w=small_integers(int(np.prod([int(n) for n in shape.split(",")])), 4),
    )

    lengths = tuple(int(n) for n in shape.split(","))
    check_against_onnxruntime(model, small_integers(3, *lengths, seed=1))


def test_a_gather_behind_a_layer_is_folded_into_the_next():
    model = import_text(
        """net (float[N, 4] x) => (float[N, 2] y) {
            a = MatMul (x, w) r = Relu (a)
            b = Gather <axis = 1> (r, order) y = MatMul (b, u) }""",
        order=np.array([3, 1, 0, 2]),
        w=small_integers(4, 4),
        u=small_integers(4, 2, seed=1),
    )

    check_against_onnxruntime(model, small_integers(8, 4, seed=2))


@pytest.mark.parametrize("indices", [[2], [0, -1, 1, 1], [3, 3, 0, 2, 1, 0]])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_gather_chooses_and_repeats(axis, indices):
    size = [4, 4, 4]
    size[axis - 1] = len(indices)
    model = import_text(
        f"""net (float[N, 4, 4, 4] x) => (float[N, {size[0]}, {size[1]}, {size[2]}] y) {{
            a = Conv (x, w) r = Relu (a)
            y = Gather <axis = {axis}> (r, order) }}""",
        order=np.array(indices),
        w=small_integers(4, 4, 1, 1),
    )

    check_against_onnxruntime(model, small_integers(3, 4, 4, 4, seed=1))


@pytest.mark.parametrize("indices", [[0, 1, 4], [0, 1, -4], [[0, 1, 2]]])
def test_a_gather_beyond_its_axis_or_of_several_is_refused(indices):
    shape = ", ".join(map(str, np.shape(indices)))
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            f"net (float[N, 3] x) => (float[N, {shape}] y) {{"
            " [take] y = Gather <axis = 1> (x, i) }",
            i=np.array(indices),
        )

    assert error.value.node == "take"
    assert error.value.problem.endswith("one or a vector from -3 to 2 is supported")


@pytest.mark.parametrize("index", [0, 2, -1])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_gather_of_one_element_removes_its_axis(axis, index):
    size = [4, 3, 5]
    del size[axis - 1]
    model = import_text(
        f"""net (float[N, 4, 3, 5] x) => (float[N, {size[0]}, {size[1]}] y) {{
            r = Relu (x)  y = Gather <axis = {axis}> (r, one) }}""",
        one=np.array(index),
    )

    check_against_onnxruntime(model, small_integers(3, 4, 3, 5))


def test_a_gather_of_one_number_leaves_a_sample_without_axes():
    model = import_text(
        "net (float[N, 1] x) => (float[N] y) { y = Gather <axis = 1> (x, one) }",
        one=np.array(0),
    )

    check_against_onnxruntime(model, small_integers(3, 1))


def test_a_gather_of_samples_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 3] x) => (float[1, 3] y) { [take] y = Gather (x, i) }",
            i=np.array([0]),
        )

    assert error.value.problem == "Gather has axis=0; the batch axis must stay the first"
