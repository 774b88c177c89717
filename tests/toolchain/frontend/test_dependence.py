"""Branches are followed wherever they lead; where the network ends wrongly, a node is named."""

import numpy as np
import pytest

from toolchain.errors import CompileError, ImportModelError, UnsupportedOpError
from toolchain.frontend.dependence import count_readers, dependent_nodes
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    import_text,
    small_integers,
    text_model,
)
from toolchain.ir.ann import Add, Concat


def imported(lines, outputs="float[N, 3] y"):
    return import_text(
        f"net (float[N, 3] x) => ({outputs}) {{ {lines} }}", w=small_integers(3, 3)
    )


def refused(lines, outputs="float[N, 3] y"):
    with pytest.raises(CompileError) as error:
        imported(lines, outputs)
    return error.value


@pytest.mark.parametrize(
    ("lines", "joint"),
    [
        ("h = Relu (x)  g = MatMul (h, w)  [join] y = Add (g, h)", Add),
        ("h = Relu (x)  [join] y = Sub (h, x)", Add),
        ("h = Relu (x)  [join] y = Sum (x, h, h)", Add),
    ],
)
def test_a_residual_connection_is_a_sum(lines, joint):
    model = imported(lines)

    assert [node.name for node in model.graph.of_type(joint)] == ["join"]
    check_against_onnxruntime(model, small_integers(4, 3))


def test_a_value_added_to_itself_is_a_sum_too():
    check_against_onnxruntime(imported("y = Add (x, x)"), small_integers(4, 3))


def test_a_concatenation_reads_its_parts_in_order():
    model = imported("h = MatMul (x, w)  [cat] y = Concat <axis = 1> (h, x)", "float[N, 6] y")

    (joint,) = model.graph.of_type(Concat)
    assert [model.graph[name].kind for name in joint.inputs] == ["Dense", "Input"]
    check_against_onnxruntime(model, small_integers(4, 3))


def test_a_product_of_two_branches_is_refused_where_they_meet():
    error = refused("h = MatMul (x, w)  k = MatMul (h, w)  [gate] y = Mul (h, k)")

    assert str(error) == (
        "import at 'gate': Mul multiplies two values that the network computes; one operand "
        "must be a constant, or both functions of the same value\n"
        "  hint: a spike cannot scale another: train without gates and attention, or take "
        "--partial"
    )


def test_an_output_that_others_read_is_computed_beside_them():
    model = imported("h = Relu (x)  y = MatMul (h, w)", "float[N, 3] y, float[N, 3] h")

    assert model.output_names == ["y", "h"]
    check_against_onnxruntime(model, small_integers(4, 3, seed=1))


def test_an_output_besides_the_first_of_a_node_is_refused():
    error = refused("[drop] h, y = Dropout (x)", "bool[N, 3] y")

    assert str(error) == (
        "import at 'drop': Dropout computes 'y' besides its first output, and something reads "
        "it\n"
        "  hint: drop the additional output"
    )


def test_a_second_output_that_is_the_input_is_refused():
    error = refused("[a] y = Relu (x)", "float[N, 3] y, float[N, 3] x")

    assert error.node == "x"
    assert error.problem == "is an output that is an input, too; nothing is computed"


def test_an_output_that_is_listed_twice_is_refused():
    model = text_model("net (float[N, 3] x) => (float[N, 3] y) { y = Relu (x) }")
    model.graph.output.append(model.graph.output[0])

    with pytest.raises(UnsupportedOpError, match="'y': is listed twice among the outputs"):
        import_proto(model)


@pytest.mark.parametrize(
    ("lines", "node", "value"),
    [
        ("[a] h = Relu (x)  [b] y = MatMul (h, w)  [c] z = MatMul (h, w)", "c", "z"),
        ("[a] y = Relu (x)  [b] z = MatMul (y, w)", "b", "z"),
        ("[a] z = Relu (x)  [b] y = Identity (w)", "a", "z"),
    ],
    ids=["branch", "behind the output", "all there is"],
)
def test_a_dead_end_is_refused(lines, node, value):
    error = refused(lines)

    assert error.node == node
    assert error.problem.endswith(f"computes {value!r}, which nothing reads")
    assert error.hint == "remove the node, with onnx.utils.extract_model for instance"


MEASURED = """
    [turned] t = Unsqueeze (x, one)
    [ranked] k, i = TopK (t, one)
    [shape] s = Shape <start = 1> (k)
    [dense] h = MatMul (x, w)
    [sizes] z = Concat <axis = 0> (minus, s)
    [shaped] r = Reshape (h, three)
    [spread] q = Expand (r, z)
    [out] y = Flatten (q)
"""


def test_a_node_of_which_only_the_shape_is_read_is_folded():
    model = import_text(
        f"net (float[N, 3] x) => (float[N, 3] y) {{ {MEASURED} }}",
        w=small_integers(3, 3),
        one=np.array([1]),
        minus=np.array([1]),
        three=np.array([-1, 1, 3]),
    )

    assert {"turned", "ranked", "shape", "sizes"} <= set(model.graph.constants)
    assert "dense" not in model.graph.constants
    check_against_onnxruntime(model, small_integers(4, 3))


def test_what_is_computed_from_a_value_is_not_folded_because_its_shape_is_read_too():
    model = imported(
        "h = Relu (x)  g = Neg (h)  s = Shape (g)  r = Reshape (g, s)  y = Relu (r)"
    )

    assert len(model.graph.constants) == 1
    check_against_onnxruntime(model, small_integers(4, 3))


def test_a_dead_end_behind_a_node_that_is_measured_is_refused():
    error = refused("h = Neg (x)  s = Shape (h)  [dead] d = Relu (h)  y = Reshape (x, s)")

    assert error.node == "dead"


def test_an_output_that_does_not_depend_on_the_input_is_refused():
    error = refused("y = Identity (w)")

    assert isinstance(error, ImportModelError)
    assert (error.node, error.problem) == ("y", "does not depend on the network's input")


def test_a_shape_that_is_read_is_no_branch():
    model = import_text(
        """net (float[N, 3] x) => (float[N, 3] y) {
            h = Relu (x)  s = Shape (h)  [same] y = Reshape (h, s) }"""
    )

    assert model.graph.shapes[model.graph.output.name] == (3,)


def test_what_is_computed_from_constants_alone_does_not_depend_on_the_sample():
    model = text_model(
        """net (float[N, 3] x) => (float[N, 3] y) {
            [shift] c = Add (w, w)  [size] s = Size (x)
            [a] h = Relu (x)  [b] y = Add (h, c) }""",
        w=small_integers(1, 3),
    )

    nodes = dependent_nodes(model.graph, ["x"])

    assert [node.name for node in nodes] == ["a", "b"]
    assert count_readers(model.graph, nodes) == {"x": 1, "h": 1, "c": 1, "y": 1}
