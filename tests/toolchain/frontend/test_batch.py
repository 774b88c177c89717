"""A model that takes any number of samples treats each for itself, or its node is refused."""

import numpy as np
import onnx
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import import_proto, import_text, run_onnxruntime, text_model
from toolchain.ir.reference import run

LAST = np.iinfo(np.int64).max
RESHAPED = "[op] y = Reshape (x, s)"
SLICED = "[op] y = Slice (x, b, e, a, t)"
COMPUTED = (
    "s = Shape (x)  n = Gather <axis = 0> (s, zero)  c = Concat <axis = 0> (one, n, rest)"
    "  [op] y = Reshape (x, c)"
)
PARTS = {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1])}


def sliced(start, end, step=1):
    return dict(zip("beat", map(np.atleast_1d, (start, end, 0, step)), strict=True))


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize(
    ("lines", "weights"),
    [
        (SLICED, sliced(0, 1)),
        (SLICED, sliced(0, 3)),
        (SLICED, sliced(-1, LAST)),
        (SLICED, sliced(0, LAST, 2)),
        (SLICED, sliced(LAST, -LAST, -1)),
        (RESHAPED, {"s": np.array([1, -1, 1])}),
        (RESHAPED, {"s": np.array([1, 4, 1])}),
        (COMPUTED, PARTS),
    ],
    ids=[
        "first",
        "three",
        "last",
        "every second",
        "backwards",
        "one row",
        "one sample",
        "computed",
    ],
)
def test_what_mixes_or_drops_samples_is_refused(lines, weights, opset):
    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            f"net (float[N, 4, 1] x) => (float[A, B, C] y) {{ {lines} }}",
            opset=opset,
            **weights,
        )

    assert error.value.node == "op"


def test_the_message_has_both_shapes():
    with pytest.raises(UnsupportedOpError) as error:
        import_text(f"net (float[N, 4, 1] x) => (float[A, B, C] y) {{ {COMPUTED} }}", **PARTS)

    assert str(error.value) == (
        "import at 'op': Reshape makes (1, 7, 4) of a batch of 7 samples, and not (7, 1, 4); "
        "each must be treated for itself\n"
        "  hint: export the model with a first axis of length 1 if it takes one at a time"
    )


@pytest.mark.parametrize("lines", [RESHAPED, SLICED])
def test_a_model_of_one_sample_may_do_all_that(lines):
    weights = sliced(0, 1, 2) if lines == SLICED else {"s": np.array([1, -1, 1])}
    proto = text_model(f"net (float[1, 4, 1] x) => (float[A, B, C] y) {{ {lines} }}", **weights)

    model = import_proto(proto)

    x = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
    np.testing.assert_array_equal(run(model.graph, x), run_onnxruntime(model, x))


@pytest.mark.parametrize(
    ("lines", "weights"),
    [
        (SLICED, sliced(0, LAST)),
        (RESHAPED, {"s": np.array([0, 2, 2])}),
        (RESHAPED, {"s": np.array([-1, 2, 2])}),
        (COMPUTED.replace("one, n, rest", "n, one, rest"), PARTS),
    ],
)
def test_what_keeps_samples_apart_is_that_of_onnxruntime_for_many(lines, weights):
    import onnxruntime

    proto = text_model(f"net (float[N, 4, 1] x) => (float[N, B, C] y) {{ {lines} }}", **weights)
    x = np.arange(12, dtype=np.float32).reshape(3, 4, 1)

    found = run(import_proto(proto).graph, x)

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_array_equal(found, session.run(None, {"x": x})[0])


def test_a_large_constant_is_not_computed_again(monkeypatch):
    computed = []
    learn = "toolchain.frontend.batch.learn_node"
    monkeypatch.setattr(learn, lambda _, node, *__, **___: computed.append(node.op_type))

    import_text(
        """net (float[N, 3] x) => (float[N, 3] y) {
            v = Add (w, w)  h = MatMul (x, v)  y = Relu (h) }""",
        w=np.ones((3, 3), np.float32),
    )

    assert computed == ["MatMul", "Relu"]


def test_old_files_that_list_weights_among_their_inputs_are_read_alike():
    proto = text_model(
        f"net (float[N, 4, 1] x) => (float[A, B, C] y) {{ {RESHAPED} }}", s=np.array([1, -1, 1])
    )
    proto.graph.input.append(onnx.helper.make_tensor_value_info("s", 7, [3]))

    with pytest.raises(UnsupportedOpError, match="makes"):
        import_proto(proto)
