"""QONNX's quantizers are imported as their definition computes them."""

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import check_against_onnxruntime, import_proto
from toolchain.ir.reference import run
from toolchain.ir.staircase import Staircase

DOMAIN = "qonnx.custom_op.general"
SAMPLES = np.resize(np.arange(-40, 41) / 8, (80, 4)).astype(np.float32)
WEIGHT = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def model(*nodes, domain=DOMAIN, shape=(4,), outputs=(3,), **constants):
    """Return a model of nodes, each ``(operator, inputs, output, attributes)``."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node(
                op,
                inputs,
                [output],
                name=f"node_{output}",
                domain=domain if op[0] != "M" or op == "MultiThreshold" else "",
                **attributes,
            )
            for op, inputs, output, attributes in nodes
        ],
        "net",
        [onnx.helper.make_tensor_value_info("x", 1, ["N", *shape])],
        [onnx.helper.make_tensor_value_info("y", 1, ["N", *outputs])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid(domain, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def number(value):
    return np.array(value, np.float32)


def quantized(x, scale, zero, bits, *, signed, narrow=0, rounding=np.rint):
    """Return what the definition of ``Quant`` says."""
    low = (-(2 ** (bits - 1)) + narrow) if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    return (rounding(np.clip(x / scale + zero, low, high)) - zero) * scale


@pytest.mark.parametrize("domain", [DOMAIN, "onnx.brevitas"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(("signed", "narrow"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_quantizer_of_activations_has_the_limits_of_its_bits(domain, bits, signed, narrow):
    imported = import_proto(
        model(
            ("Quant", ["x", "s", "z", "b"], "q", {"signed": signed, "narrow": narrow}),
            ("MatMul", ["q", "w"], "y", {}),
            domain=domain,
            s=number(0.25),
            z=number(0),
            b=number(bits),
            w=WEIGHT,
        )
    )

    want = quantized(SAMPLES, 0.25, 0, bits, signed=signed, narrow=narrow) @ WEIGHT
    np.testing.assert_allclose(run(imported.graph, SAMPLES), want, atol=1e-5)
    check_against_onnxruntime(imported, SAMPLES)


@pytest.mark.parametrize(("mode", "rounding"), [("FLOOR", np.floor), ("round", np.rint)])
def test_it_rounds_as_it_says_and_is_called_by_its_name(mode, rounding):
    imported = import_proto(
        model(
            ("Quant", ["x", "s", "z", "b"], "q", {"signed": 1, "rounding_mode": mode}),
            ("MatMul", ["q", "w"], "y", {}),
            s=number(0.25),
            z=number(3),
            b=number(4),
            w=WEIGHT,
        )
    )

    want = quantized(SAMPLES, 0.25, 3, 4, signed=1, rounding=rounding) @ WEIGHT
    np.testing.assert_allclose(run(imported.graph, SAMPLES), want, atol=1e-5)
    assert imported.graph.of_type(Staircase)[0].name == "node_q"


def test_weights_are_quantized_on_import():
    scale = np.array([[0.5, 0.125, 1.0]], np.float32)
    imported = import_proto(
        model(
            ("Quant", ["w", "s", "z", "b"], "v", {"signed": 1, "narrow": 1}),
            ("MatMul", ["x", "v"], "y", {}),
            s=scale,
            z=number(0),
            b=number(3),
            w=WEIGHT,
        )
    )

    want = SAMPLES @ quantized(WEIGHT, scale, 0, 3, signed=1, narrow=1)
    np.testing.assert_allclose(run(imported.graph, SAMPLES), want, atol=1e-5)


@pytest.mark.parametrize("of", ["weights", "activations"])
def test_bipolar_values_are_the_sign_times_the_scale(of):
    read = "w" if of == "weights" else "x"
    ends = ["x", "q"] if of == "weights" else ["q", "w"]
    imported = import_proto(
        model(
            ("BipolarQuant", [read, "s"], "q", {}),
            ("MatMul", ends, "y", {}),
            s=number(0.5),
            w=WEIGHT,
        )
    )

    values = {"x": SAMPLES, "w": WEIGHT}
    values[read] = np.where(values[read] >= 0, 0.5, -0.5)
    np.testing.assert_allclose(
        run(imported.graph, SAMPLES), values["x"] @ values["w"], atol=1e-5
    )


def test_thresholds_of_each_channel_are_counted():
    thresholds = np.array([[-1, 0, 1], [0.5, 0.75, 1], [-4, -1, 2]], np.float32)
    imported = import_proto(
        model(
            ("MultiThreshold", ["x", "t"], "q", {"out_scale": 0.5, "out_bias": -1.0}),
            ("MaxPool", ["q"], "y", {"kernel_shape": [1, 1]}),
            shape=(3, 2, 2),
            outputs=(3, 2, 2),
            t=thresholds,
        )
    )

    x = np.resize(SAMPLES, (20, 3, 2, 2))
    passed = (x[:, :, None] >= thresholds[None, :, :, None, None]).sum(axis=2)
    np.testing.assert_allclose(run(imported.graph, x), 0.5 * passed - 1, atol=1e-6)


QUANT = ("Quant", ["x", "s", "z", "b"], "y")


@pytest.mark.parametrize(
    ("node", "constants", "problem"),
    [
        ((*QUANT, {"rounding_mode": "HALF_UP"}), {}, "has rounding_mode=HALF_UP"),
        ((*QUANT, {"unheard_of": 1}), {}, "has attribute unheard_of"),
        ((*QUANT, {"signed": "yes"}), {}, "has an attribute signed that is not an integer"),
        ((*QUANT, {}), {"s": number(0)}, "has a scale of 0; it must be above 0"),
        ((*QUANT, {}), {"b": number(2.5)}, "has a bit width of 2.5; one of 1 to 32"),
        (("Quant", ["x", "s", "z"], "y", {}), {}, "has 3 inputs; input 3 is needed"),
        (("Quant", ["x", "s", "z", "x"], "y", {}), {}, "has an input 'x' that is no constant"),
        (("BipolarQuant", ["x", "s"], "y", {}), {"s": number(-1)}, "has a scale of -1"),
        (
            ("MultiThreshold", ["x", "t"], "y", {"data_layout": "NC"}),
            {"t": np.array([[0, 1, 3]], np.float32)},
            "has thresholds that are not evenly spaced",
        ),
        (("Trunc", ["x", "s", "z", "b", "b"], "y", {}), {}, f"is of domain {DOMAIN!r}"),
    ],
)
def test_what_it_does_not_say_is_refused_by_the_name_of_the_node(node, constants, problem):
    with pytest.raises(UnsupportedOpError) as error:
        import_proto(
            model(node, **{"s": number(0.5), "z": number(0), "b": number(4), **constants})
        )

    assert error.value.node == "node_y"
    assert f"{node[0]} {problem}" in error.value.problem
