"""A network that is not one line of nodes is refused by the name of the node that shows it."""

import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import import_text, small_integers

HINT = "branching networks are not supported yet"


def refused(lines, outputs="float[N, 3] y"):
    with pytest.raises(UnsupportedOpError) as error:
        import_text(f"net (float[N, 3] x) => ({outputs}) {{ {lines} }}", w=small_integers(3, 3))
    return error.value


def test_a_residual_connection_is_refused_where_it_joins():
    error = refused("[a] h = Relu (x)  [b] g = MatMul (h, w)  [join] y = Add (g, h)")

    assert str(error) == (
        "import at 'join': Add reads 'g' and 'h', both computed from the network's input\n"
        f"  hint: {HINT}"
    )


def test_a_joint_is_named_before_what_is_not_supported():
    error = refused("[act] h = Tanh (x)  [join] y = Mul (h, x)")

    assert error.node == "join"


def test_a_value_added_to_itself_is_refused():
    assert refused("[twice] y = Add (x, x)").node == "twice"


def test_a_concatenation_is_refused():
    error = refused("[cat] y = Concat <axis = 1> (x, x)", "float[N, 6] y")

    assert error.problem == "Concat reads 'x' and 'x', both computed from the network's input"


def test_a_second_output_is_refused_where_it_is_computed():
    error = refused("[a] h = Relu (x)  [b] y = MatMul (h, w)", "float[N, 3] y, float[N, 3] h")

    assert str(error) == (
        f"import at 'a': Relu computes 'h', a second output of the network\n  hint: {HINT}"
    )


def test_an_output_besides_the_first_of_a_node_is_refused():
    error = refused("[drop] h, y = Dropout (x)", "bool[N, 3] y")

    assert str(error) == (
        "import at 'drop': Dropout computes the network's output 'y' besides its first output\n"
        "  hint: make its first output that of the network"
    )


def test_a_second_output_that_is_the_input_is_refused():
    error = refused("[a] y = Relu (x)", "float[N, 3] y, float[N, 3] x")

    assert error.node == "x"
    assert error.problem == "the network has 2 outputs; one is supported"


def test_a_second_branch_that_nothing_reads_is_refused():
    error = refused("[a] h = Relu (x)  [b] y = MatMul (h, w)  [c] z = MatMul (h, w)")

    assert str(error) == (
        f"import at 'c': MatMul reads 'h', which 'b' reads too\n  hint: {HINT}"
    )


def test_a_node_after_the_output_is_refused():
    error = refused("[a] y = Relu (x)  [b] z = MatMul (y, w)")

    assert error.problem == "MatMul reads 'y', which is the network's output"
    assert error.node == "b"


def test_a_dead_end_is_refused():
    error = refused("[a] z = Relu (x)  [b] y = Identity (w)")

    assert str(error) == (
        "import at 'a': Relu computes 'z', which nothing reads\n"
        "  hint: remove the node, with onnx.utils.extract_model for instance"
    )


def test_a_shape_that_is_read_is_no_branch():
    model = import_text(
        """net (float[N, 3] x) => (float[N, 3] y) {
            h = Relu (x)  s = Shape (h)  [same] y = Reshape (h, s) }"""
    )

    assert model.output_shape == (3,)
