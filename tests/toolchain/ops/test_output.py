"""Softmax, LogSoftmax and ArgMax are computed by the host, at the end only; Sigmoid there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_text, small_integers
from toolchain.ir.ann import HostOp


def tail_of(operator, shape=(5,), out=None, opset=17, **weights):
    sizes, out = ", ".join(map(str, shape)), ", ".join(map(str, shape if out is None else out))
    kind = "int64" if "ArgMax" in operator else "float"
    model = import_text(
        f"net (float[N, {sizes}] x) => ({kind}[N{', ' * bool(out)}{out}] y) {{ {operator} }}",
        opset=opset,
        **weights,
    )
    check_against_onnxruntime(model, small_integers(4, *shape))
    return model.graph.output.tail


@given(
    function=st.sampled_from(["Softmax", "LogSoftmax"]),
    case=st.sampled_from([((5,), 1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((2, 3, 4), -1)]),
    opset=st.sampled_from([13, 17]),
)
@settings(max_examples=20, deadline=None)
def test_softmax_takes_one_axis_of_the_sample(function, case, opset):
    shape, axis = case

    (step,) = tail_of(f"y = {function} <axis = {axis}> (x)", shape, opset=opset)

    assert step.axis == (axis - 1 if axis > 0 else len(shape) + axis)
    assert step.function == {"Softmax": "softmax", "LogSoftmax": "log-softmax"}[function]


@pytest.mark.parametrize("opset", [7, 11])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (1, 3, 4), (2, 1, 1)])
@pytest.mark.parametrize("axis", ["", "<axis = 1>"])
def test_old_softmax_takes_all_axes_of_the_sample_together(opset, shape, axis):
    (step,) = tail_of(f"y = Softmax {axis} (x)", shape, opset=opset)

    assert step.axis == (0 if len(shape) == 1 else None)


def test_old_softmax_over_the_last_axis_is_one_axis():
    (step,) = tail_of("y = Softmax <axis = 3> (x)", (2, 3, 4), opset=11)

    assert step.axis == 2


def test_old_softmax_over_some_axes_together_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        tail_of("[prob] y = Softmax <axis = 2> (x)", (2, 3, 4), opset=11)

    assert str(error.value) == (
        "import at 'prob': Softmax takes axes 2 to 3 together, and axes 1 to 1 apart; one axis "
        "or all are supported\n  hint: export the model with opset 13 or newer"
    )


def test_sigmoid_takes_each_element():
    (step,) = tail_of("y = Sigmoid (x)", (2, 3))

    assert (step.function, step.axis) == ("sigmoid", None)


@pytest.mark.parametrize(("keep", "out"), [(1, (2, 1)), (0, (2,))])
def test_argmax_takes_one_axis(keep, out):
    (step,) = tail_of(f"y = ArgMax <axis = 2, keepdims = {keep}> (x)", (2, 3), out)

    assert (step.function, step.axis, step.keep_axis) == ("argmax", 1, bool(keep))


def test_what_follows_stays_in_order():
    steps = tail_of(
        """[prob] p = Softmax (x)  [best] b = ArgMax <axis = 1> (p)
           [drop] y = Squeeze (b, axes)""",
        (5,),
        (),
        axes=np.array([1]),
    )

    assert [step.function for step in steps] == ["softmax", "argmax"]
    assert not steps[1].keep_axis
    assert steps[1].origin == ("best", "drop")


def test_a_sigmoid_may_be_reshaped():
    (step,) = tail_of("s = Sigmoid (x)  y = Squeeze (s, axes)", (1,), (), axes=np.array([-1]))

    assert step.function == "sigmoid"


def test_the_host_works_in_the_models_own_layout():
    model = import_text(
        """net (float[N, 1, 3, 4] x) => (float[N, 2, 3, 2] y) {
            c = Conv (x, k)  t = Transpose <perm = [0, 2, 3, 1]> (c)
            y = Softmax <axis = 2> (t) }""",
        k=small_integers(2, 1, 2, 2),
    )

    assert model.graph.output.shape == (2, 3, 2)
    assert model.graph.output.order is not None
    check_against_onnxruntime(model, small_integers(2, 1, 3, 4))


def test_no_host_operation_is_left_in_the_graph():
    model = import_text("net (float[N, 3] x) => (float[N, 3] y) { y = Sigmoid (x) }")

    assert not model.graph.of_type(HostOp)


def test_inside_the_network_it_is_refused_by_its_own_name():
    with pytest.raises(UnsupportedOpError) as error:
        tail_of("[gate] s = Softmax (x)  [fc] y = MatMul (s, w)", w=small_integers(5, 5))

    assert str(error.value) == (
        "import at 'gate': Softmax is supported at the end of the network only, and 'fc' reads "
        "it\n"
        "  hint: use Relu inside the network"
    )


def test_a_relu_after_it_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        tail_of("[prob] p = LogSoftmax (x)  y = Relu (p)")

    assert error.value.node == "prob"


def test_a_reshape_after_a_softmax_over_one_axis_is_refused():
    with pytest.raises(UnsupportedOpError) as error:
        tail_of("p = Softmax <axis = 1> (x)  [flat] y = Flatten (p)", (2, 3), (6,))

    assert str(error.value) == (
        "import at 'flat': Flatten changes the shape of what the host computes at the end of "
        "the network\n  hint: move it before the last operator, or leave it to the caller"
    )


@pytest.mark.parametrize("operator", ["Softmax <axis = 0> (x)", "ArgMax <axis = 0> (x)"])
def test_the_batch_axis_is_refused(operator):
    with pytest.raises(UnsupportedOpError, match="has axis=0, the batch axis") as error:
        import_text(
            f"net (float[1, 5] x) => ({'int64' if 'Arg' in operator else 'float'}[1, 5] y) "
            f"{{ [end] y = {operator} }}"
        )

    assert error.value.node == "end"


def test_the_last_of_equal_maxima_is_refused():
    with pytest.raises(UnsupportedOpError, match="has select_last_index=1") as error:
        tail_of("[end] y = ArgMax <axis = 1, select_last_index = 1> (x)", out=(1,))

    assert error.value.node == "end"


@pytest.mark.parametrize("order", ["y, float[N, 5] r", "r, float[N, 5] y"])
@pytest.mark.parametrize(
    "more", ["y = Relu (r)", "t = Relu (r) y = Relu (t)", "y = Sigmoid (r)"]
)
def test_a_rectifier_that_is_returned_is_kept_for_what_comes_behind_it(order, more):
    weight = small_integers(4, 5)

    nodes = f"m = MatMul (x, w) r = Relu (m) {more}"
    model = import_text(f"net (float[N, 4] x) => (float[N, 5] {order}) {{ {nodes} }}", w=weight)

    check_against_onnxruntime(model, small_integers(6, 4))
    assert all(output.inputs == ("Relu:r",) for output in model.graph.outputs)
