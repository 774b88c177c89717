"""Identity, Dropout and Cast hand on values, and are the origin of the node that has them."""

import numpy as np
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import Input, Output


@pytest.mark.parametrize(
    ("operator", "opset"),
    [
        ("Identity (x)", 17),
        ("Dropout (x)", 7),
        ("Dropout <ratio = 0.25> (x)", 10),
        ("Dropout (x, ratio)", 12),
        ("Dropout <seed = 1> (x, ratio, training)", 13),
        ("Cast <to = 1> (x)", 9),
    ],
)
def test_a_node_that_hands_on_its_input_is_in_the_origin_of_that_input(operator, opset):
    model = import_text(
        f"net (float[N, 3] x) => (float[N, 3] y) {{ [same] y = {operator} }}",
        opset=opset,
        ratio=np.array(0.5, np.float32),
        training=np.array(False),
    )

    assert [type(node) for node in model.graph] == [Input, Output]
    assert model.graph.input.origin == ("same",)
    check_against_onnxruntime(model, small_integers(2, 3))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64"])
def test_integers_may_enter_and_be_cast_to_floats(dtype):
    model = import_text(
        f"""net ({dtype}[N, 4, 4, 1] x) => (float[N, 2, 3, 3] y) {{
            t = Transpose <perm = [0, 3, 1, 2]> (x)  [cast] f = Cast <to = 1> (t)
            y = Conv (f, k) }}""",
        k=small_integers(2, 1, 2, 2),
    )

    assert model.graph.input.dtype == dtype
    check_against_onnxruntime(model, np.abs(small_integers(2, 4, 4, 1)))


def test_doubles_stay_doubles():
    model = import_text(
        """net (float[N, 3] x) => (float[N, 2] y) {
            d = Cast <to = 11> (x)  h = MatMul (d, w)  y = Cast <to = 1> (h) }""",
        w=small_integers(3, 2).astype(np.float64),
    )

    check_against_onnxruntime(model, small_integers(2, 3))


@pytest.mark.parametrize(("source", "to"), [("float", 6), ("int32", 3), ("uint8", 9)])
def test_casts_that_change_values_are_refused(source, to):
    names = {3: "int8", 6: "int32", 9: "bool"}

    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            f"net ({source}[N, 3] x) => ({names[to]}[N, 3] y) "
            f"{{ [cast] y = Cast <to = {to}> (x) }}"
        )

    shown = {"float": "float32"}.get(source, source)
    assert str(error.value) == (
        f"import at 'cast': Cast from {shown} to {names[to]} changes values\n"
        "  hint: keep activations in floats"
    )


def test_dropout_in_training_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 3] x) => (float[N, 3] y) {
                [drop] y = Dropout (x, ratio, training) }""",
            ratio=np.array(0.5, np.float32),
            training=np.array(True),
        )

    assert error.value.problem == "Dropout has training_mode=1; only 0 is supported"


def test_a_mask_that_something_reads_is_refused():
    with pytest.raises(UnsupportedOpError, match="'mask' besides its first output") as error:
        import_text(
            """net (float[N, 3] x) => (float[N, 3] y) {
                [drop] d, mask = Dropout (x)  [cast] y = Cast <to = 1> (mask) }"""
        )

    assert error.value.node == "drop"
