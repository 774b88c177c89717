"""Smooth activations are curves of one value; what several nodes compute of it is one."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Affine
from toolchain.ir.smooth import Smooth
from toolchain.ir.verify import accounted

SAMPLES = np.random.default_rng(0).normal(size=(5, 2, 3, 4), scale=2).astype(np.float32)


def imported(nodes, **weights):
    """Import nodes between a layer and a scale, so that they are inside of the network."""
    text = f"""net (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y) {{
        a = Conv (x, k)  {nodes}  y = Mul (b, two) }}"""
    kernel = small_integers(2, 2, 1, 1) / 2
    return import_text(text, opset=20, k=kernel, two=np.float32(2), **weights)


def curves(model):
    return [str(node.curve) for node in model.graph.of_type(Smooth)]


def test_factors_of_one_value_are_one_activation():
    model = imported("s = Sigmoid (a)  b = Mul (a, s)")

    assert curves(model) == ["x * sigmoid(x)"]
    check_against_onnxruntime(model, SAMPLES)


def test_what_others_read_too_stays_beside_it():
    model = imported("s = Sigmoid (a)  p = Mul (a, s)  b = Add (p, s)")

    assert curves(model) == ["sigmoid(x)", "x * sigmoid(x)"]
    check_against_onnxruntime(model, SAMPLES)


def test_a_curve_starts_at_the_nearest_value_that_its_factors_share():
    model = imported("h = Mul (a, half)  s = Sigmoid (h)  b = Mul (h, s)", half=np.float32(0.5))

    assert curves(model) == ["x * sigmoid(x)"]


def test_deep_functions_of_functions_are_cut_where_they_become_too_large():
    nodes = ["t0 = Tanh (a)"]
    nodes += [
        f"u{i} = Neg (t{i})  v{i} = Tanh (u{i})  t{i + 1} = Add (v{i}, t{i})" for i in range(40)
    ]
    model = imported(f"{'  '.join(nodes)}  b = Neg (t40)")

    assert max(node.curve.size for node in model.graph.of_type(Smooth)) < 200
    check_against_onnxruntime(model, SAMPLES)


def test_long_chains_are_followed_no_further_than_needed():
    nodes = ["n0 = Relu (a)"] + [f"n{i + 1} = Neg (n{i})" for i in range(1500)]
    model = imported(f"{'  '.join(nodes)}  s = Sigmoid (n1500)  b = Mul (n1500, s)")

    assert curves(model) == ["x * sigmoid(x)"]


def test_no_node_of_a_spelling_is_lost():
    model = imported("[s] s = Sigmoid (a)  [i] i = Identity (s)  [m] b = Mul (a, i)")

    assert accounted(model.graph) == frozenset(model.graph.source_nodes)


def test_a_function_of_a_smooth_one_is_one_function():
    model = imported("s = Softplus (a)  b = Tanh (s)")

    assert curves(model) == ["tanh(softplus(x))"]


def test_scales_before_the_first_function_stay_where_layers_take_them_in():
    model = imported("h = Mul (a, half)  b = Tanh (h)", half=np.float32(0.5))

    assert curves(model) == ["tanh(x)"]
    assert model.graph.of_type(Affine)


def test_scales_of_channels_are_no_part_of_a_curve():
    each = np.array([1, -2], np.float32).reshape(2, 1, 1)
    model = imported("n = Mul (a, each)  s = Sigmoid (n)  b = Mul (n, s)", each=each)

    assert curves(model) == ["x * sigmoid(x)"]
    check_against_onnxruntime(model, SAMPLES)


def test_factors_in_another_order_of_the_same_value_are_refused():
    nodes = (
        "s = Sigmoid (a)  r = Reshape (s, flat)  t = Transpose <perm = [0, 2, 1]> (r)  "
        "u = Reshape (t, wide)  [stop] b = Mul (a, u)"
    )

    with pytest.raises(UnsupportedOpError) as error:
        imported(nodes, flat=np.array([-1, 6, 4]), wide=np.array([-1, 2, 3, 4]))

    assert error.value.node == "stop"


def test_a_square_root_is_refused_where_nothing_makes_a_line_of_it():
    with pytest.raises(UnsupportedOpError) as error:
        imported("[stop] b = Pow (a, half)", half=np.float32(0.5))

    assert str(error.value) == (
        "import at 'stop': makes power(x, 0.5) of a value, which becomes no line on both "
        "sides, so that no number of rectifiers follows it\n"
        "  hint: a spike cannot scale another: compute it before or behind the network, or "
        "train without it"
    )


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh", "Softplus", "Softsign", "Erf"])
def test_at_the_end_it_is_the_host_s(operator):
    model = import_text(
        f"""net (float[N, 3] x) => (float[N, 1, 3] y) {{
            a = MatMul (x, w)  b = {operator} (a)  y = Unsqueeze (b, one) }}""",
        w=small_integers(3, 3) / 4,
        one=np.array([1]),
    )

    assert [step.function for step in model.graph.output.tail] == [operator.lower()]
    check_against_onnxruntime(model, small_integers(4, 3))


def test_behind_it_a_layer_makes_it_the_network_s():
    model = import_text(
        "net (float[N, 3] x) => (float[N, 3] y) { b = Sigmoid (x)  y = MatMul (b, w) }",
        w=small_integers(3, 3),
    )

    assert curves(model) == ["sigmoid(x)"]
    assert not model.graph.output.tail


def test_the_host_may_go_on_with_it():
    model = import_text(
        "net (float[N, 3] x) => (float[N, 3] y) { b = Sigmoid (x)  y = Softmax (b) }"
    )

    assert [step.function for step in model.graph.output.tail] == ["sigmoid", "softmax"]


def test_another_approximation_of_gelu_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        imported('[stop] b = Gelu <approximate = "fast"> (a)')

    assert error.value.problem == "Gelu has approximate='fast'; 'none' or 'tanh' is known"
