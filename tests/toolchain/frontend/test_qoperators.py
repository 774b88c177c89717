"""onnxruntime's operators on integers are imported as what it computes, node by node."""

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import import_proto, run_onnxruntime
from toolchain.ir.reference import run

MICROSOFT = "com.microsoft"
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (40, 3, 4, 4)).astype(np.uint8)


def number(value):
    return np.array(value, np.float32)


CONSTANTS = {
    "xs": number(0.03127),
    "xz": np.uint8(120),
    "ys": number(0.1093),
    "yz": np.uint8(100),
    "one": np.int8(0),
    "kernel": RANDOM.integers(-90, 90, (5, 3, 3, 3)).astype(np.int8),
    "row": RANDOM.integers(-90, 90, (5, 48)).astype(np.int8),
    "ks": RANDOM.uniform(0.01, 0.02, 5).astype(np.float32),
    "kz": np.zeros(5, np.int8),
    "bias": RANDOM.integers(-3000, 3000, 5).astype(np.int32),
    "ps": number(0.01333),
    "other": RANDOM.integers(0, 256, (1, 3, 4, 4)).astype(np.uint8),
}
SIZES = {"QLinearMatMul": [5], "QGemm": [5], "QLinearConv": [5, 4, 4]}
CASES = {
    "QLinearConv": ("", "x xs xz kernel ks kz ys yz bias", {"pads": [1, 1, 1, 1]}),
    "QLinearConv of one scale": ("", "x xs xz kernel ps one ys yz", {"pads": [1, 1, 1, 1]}),
    "QLinearMatMul": ("", "x xs xz columns ps one ys yz", {}),
    "QLinearMatMul of columns": ("", "x xs xz columns ks kz ys yz", {}),
    "QGemm": (MICROSOFT, "x xs xz row ks kz bias ys yz", {"transB": 1}),
    "QGemm to floats": (MICROSOFT, "x xs xz columns ps one", {}),
    "QLinearAdd": (MICROSOFT, "x xs xz other ps xz ys yz", {}),
    "QLinearAveragePool": (
        MICROSOFT,
        "x xs xz ys yz",
        {"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    "QLinearGlobalAveragePool": (MICROSOFT, "x xs xz ys yz", {"channels_last": 0}),
    "QLinearConcat": (MICROSOFT, "ys yz x xs xz x ps yz", {"axis": 1}),
    "QLinearSigmoid": (MICROSOFT, "x xs xz ps one8", {}),
    "QLinearSoftmax": (MICROSOFT, "x xs xz ps one8", {"axis": 1, "opset": 13}),
}


def model(case, version=17, **changes):
    """Return a model of one node, behind a flattening where it reads rows, and its samples."""
    domain, inputs, attributes = CASES[case]
    operator, x = case.split()[0], X
    if operator in ("QLinearMatMul", "QGemm"):
        x = X.reshape(40, 48)
    constants = {
        **CONSTANTS,
        "columns": CONSTANTS["row"].T,
        "one8": np.uint8(0),
        **changes.pop("constants", {}),
    }
    node = onnx.helper.make_node(
        operator,
        inputs.split(),
        ["y"],
        name="node",
        domain=domain,
        **{**attributes, **changes},
    )
    sizes = {"QLinearAveragePool": [3, 2, 2], "QLinearGlobalAveragePool": [3, 1, 1]}
    shape = {**SIZES, **sizes, "QLinearConcat": [6, 4, 4]}.get(operator, list(x.shape[1:]))
    kind = onnx.TensorProto.FLOAT if case == "QGemm to floats" else onnx.TensorProto.UINT8
    graph = onnx.helper.make_graph(
        [node],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, *x.shape[1:]])],
        [onnx.helper.make_tensor_value_info("y", kind, [1, *shape])],
        [
            onnx.numpy_helper.from_array(np.asarray(array), name)
            for name, array in constants.items()
            if name in inputs.split()
        ],
    )
    opsets = [onnx.helper.make_opsetid("", version), onnx.helper.make_opsetid(MICROSOFT, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), x


@pytest.mark.parametrize(
    ("case", "opset"),
    [
        *((case, 17) for case in CASES),
        ("QLinearConv", 10),
        ("QLinearConv of one scale", 10),
        ("QLinearMatMul of columns", 12),
        ("QGemm", 12),
    ],
)
def test_it_computes_what_onnxruntime_does(case, opset):
    proto, x = model(case, opset)

    imported = import_proto(proto)

    wanted = run_onnxruntime(imported, x).astype(np.float64)
    found = run(imported.graph, x)
    assert np.unique(wanted).size > 8
    if case == "QGemm to floats":
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)
    else:
        off = np.abs(found - wanted)
        assert off.max() <= (1 if case in ("QLinearSigmoid", "QLinearSoftmax") else 0)


@pytest.mark.parametrize(
    ("case", "changes", "problem"),
    [
        ("QGemm", {"alpha": 2.0}, "QGemm has alpha=2; 1 is supported"),
        ("QLinearAveragePool", {"channels_last": 1}, "QLinearAveragePool has channels_last=1"),
        ("QLinearSoftmax", {"opset": 12}, "QLinearSoftmax has opset=12"),
        ("QLinearAdd", {"broadcast": 1}, "QLinearAdd has attribute broadcast"),
        ("QLinearConv", {"constants": {"ys": number(0)}}, "QuantizeLinear has a scale of 0"),
        (
            "QLinearConv",
            {"constants": {"ys": np.ones(2, np.float32), "yz": np.zeros(2, np.uint8)}},
            "QuantizeLinear has a scale of shape (2,)",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_the_name_of_the_node(case, changes, problem):
    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model(case, **changes)[0])

    assert error.value.node.partition("/")[0] == "node"
    assert error.value.problem.startswith(problem)


@pytest.mark.parametrize("case", ["QLinearConv", "QLinearAdd", "QGemm"])
def test_an_opset_without_integers_is_told_at_the_operator_that_is_in_the_file(case):
    with pytest.raises(UnsupportedOpError) as error:
        import_proto(model(case, 9)[0])

    assert str(error.value) == (
        f"import at 'node': {case} is in a model of opset 9; 10 is the first with integers\n"
        "  hint: quantize a model of opset 13 or newer"
    )


def test_scales_that_do_not_go_with_their_weights_are_refused():
    constants = {"ks": np.ones(4, np.float32), "kz": np.zeros(4, np.int8)}

    with pytest.raises(UnsupportedOpError, match="has 4 scales or zero points for weights"):
        import_proto(model("QLinearConv", 11, constants=constants)[0])


def test_an_operator_without_its_inputs_is_refused():
    proto, _ = model("QLinearAdd")
    del proto.graph.node[0].input[5:]

    with pytest.raises(UnsupportedOpError, match="QLinearAdd has 5 inputs; input 6 is needed"):
        import_proto(proto)
