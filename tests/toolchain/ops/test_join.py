"""Sums and concatenations of branches are those of onnxruntime, in any layout and shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Add, Concat

KERNELS = {"k": small_integers(3, 2, 1, 1), "k1": small_integers(1, 2, 1, 1)}
X = small_integers(3, 2, 4, 5)


def joined(lines, shape="3, 4, 5"):
    text = f"net (float[N, 2, 4, 5] x) => (float[N, {shape}] y) {{ a = Conv (x, k) {lines} }}"
    used = {name: array for name, array in KERNELS.items() if f", {name})" in text}
    return import_text(text, **used)


@settings(max_examples=30)
@given(
    operator=st.sampled_from(["Add", "Sub", "Sum"]),
    other=st.sampled_from(
        [
            "b = Relu (a)",
            "b = Conv (x, k1)",
            "b = GlobalAveragePool (a)",
            "b = MaxPool <kernel_shape = [4, 1]> (a)",
            "b = Identity (a)",
        ]
    ),
    operands=st.sampled_from(["a, b", "b, a"]),
)
def test_every_sum_of_two_branches_computes_the_same(operator, other, operands):
    model = joined(f"{other} y = {operator} ({operands})")

    check_against_onnxruntime(model, X)


def test_a_difference_is_a_sum_with_a_change_of_sign():
    model = joined("b = Relu (a) [minus] y = Sub (b, a)")

    assert model.graph["minus"].inputs[1] == "minus/scaled"
    assert model.graph["minus/scaled"].scale == -1


def test_a_sum_of_transposed_values_needs_no_rearrangement():
    model = joined(
        """t = Transpose <perm = [0, 2, 3, 1]> (a)  r = Relu (t)  [sum] s = Add (t, r)
        y = Transpose <perm = [0, 3, 1, 2]> (s)"""
    )

    assert isinstance(model.graph["sum"], Add)
    assert {model.graph[name].kind for name in model.graph["sum"].inputs} == {"Conv", "Relu"}
    check_against_onnxruntime(model, X)


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        ("b = Relu (a)  y = Concat <axis = 1> (a, b, a)", "9, 4, 5"),
        ("b = Relu (a)  y = Concat <axis = -3> (b, x)", "5, 4, 5"),
        (
            """t = Transpose <perm = [0, 2, 3, 1]> (a)  u = Transpose <perm = [0, 2, 3, 1]> (x)
            y = Concat <axis = 3> (t, u)""",
            "4, 5, 5",
        ),
        ("f = Flatten (a)  g = Flatten (x)  y = Concat <axis = 1> (g, f)", "100"),
        ("y = Concat <axis = 1> (a)", "3, 4, 5"),
    ],
    ids=["channels", "counted from the end", "channels last", "flat", "one"],
)
def test_every_concatenation_computes_the_same(lines, shape):
    check_against_onnxruntime(joined(lines, shape), X)


def test_a_concatenation_joins_channels_of_the_layers_themselves():
    model = joined("[cat] y = Concat <axis = 1> (a, x)", "5, 4, 5")

    (joint,) = model.graph.of_type(Concat)
    assert [model.graph[name].kind for name in joint.inputs] == ["Conv", "Input"]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        (shape, axis)
        for shape in [(4,), (3, 4), (3, 4, 5), (2, 3, 4, 2)]
        for axis in (-1, *range(1, len(shape) + 1))
    ],
)
def test_values_may_be_joined_along_any_axis(shape, axis):
    place = axis - 1 if axis > 0 else len(shape) - 1
    size = [*shape]
    size[place] *= 2
    sizes, joint = (", ".join(map(str, lengths)) for lengths in (shape, size))

    model = import_text(
        f"""net (float[N, {sizes}] x) => (float[N, {joint}] y) {{
            r = Relu (x)  n = Neg (x)  y = Concat <axis = {axis}> (r, n) }}"""
    )

    check_against_onnxruntime(model, small_integers(3, *shape))


@pytest.mark.parametrize("axis", [0, -4])
def test_a_concatenation_of_samples_is_refused(axis):
    with pytest.raises(UnsupportedOpError, match="axes of the sample are supported") as error:
        import_text(
            "net (float[1, 2] x) => (float[2, 2] y) "
            f"{{ [cat] y = Concat <axis = {max(axis, -2)}> (x, x) }}"
        )

    assert error.value.node == "cat"


def test_a_constant_in_a_concatenation_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            "net (float[1, 2] x) => (float[1, 4] y) { [cat] y = Concat <axis = 1> (x, c) }",
            c=np.ones((1, 2), np.float32),
        )

    assert error.value.node == "cat"
