"""Every importer knows every version of its operator, and the documentation says which."""

import pkgutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import toolchain.ops
from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import (
    import_text,
    run_onnxruntime,
    run_reference,
    small_integers,
)
from toolchain.ir.reference import run
from toolchain.ops import IMPORTERS, Importer, describe_operators

ROOT = Path(__file__).parents[3]
OLDEST_OPSET = 7
NEWEST_OF_ONNXRUNTIME = 26

CALLS = {
    "Abs": "(x)",
    "Add": "(x, c)",
    "ArgMax": "<axis = 1> (x)",
    "AveragePool": "<kernel_shape = [2, 2]> (x)",
    "BatchNormalization": "(x, p, c1, c1, p)",
    "Cast": "<to = 11> (x)",
    "Celu": "<alpha = 0.5> (x)",
    "Clip": "<min = 0.0> (x)",
    "Concat": "<axis = 1> (x, x)",
    "Conv": "(x, k)",
    "ConvTranspose": "<strides = [2, 1]> (x, t)",
    "DepthToSpace": "<blocksize = 2> (x)",
    "DequantizeLinear": "(x, half, seven)",
    "Div": "(x, p4)",
    "Dropout": "(x)",
    "Elu": "<alpha = 1.5> (x)",
    "Erf": "(x)",
    "Expand": "(x, bigger)",
    "Flatten": "(x)",
    "Floor": "(x)",
    "Gather": "<axis = 2> (x, backwards)",
    "Gelu": '<approximate = "tanh"> (x)',
    "Gemm": "(x, w, c)",
    "GlobalAveragePool": "(x)",
    "GlobalMaxPool": "(x)",
    "HardSigmoid": "<alpha = 0.25> (x)",
    "HardSwish": "(x)",
    "Identity": "(x)",
    "LeakyRelu": "<alpha = 0.5> (x)",
    "LogSoftmax": "(x)",
    "MatMul": "(x, w)",
    "Max": "(x, same)",
    "MaxPool": "<kernel_shape = [2, 2]> (x)",
    "Mean": "(x, x)",
    "Min": "(x, same)",
    "Mish": "(x)",
    "Mul": "(x, c)",
    "Neg": "(x)",
    "PRelu": "(x, c)",
    "Pad": "<pads = [0, 0, 1, 0, 0, 0, 0, 1]> (x)",
    "Pow": "(x, unit)",
    "QuantizeLinear": "(x, half, seven)",
    "ReduceMax": "<axes = [2, 3]> (x)",
    "ReduceMean": "<axes = [2, 3]> (x)",
    "ReduceSum": "<axes = [2, 3]> (x)",
    "Relu": "(x)",
    "Reshape": "(x, shape)",
    "Resize": "(x, twice)",
    "Round": "(x)",
    "Selu": "<alpha = 1.5> (x)",
    "Sigmoid": "(x)",
    "Slice": "<starts = [1, -3], ends = [9, -1], axes = [1, 3]> (x)",
    "Softmax": "(x)",
    "Softplus": "(x)",
    "Softsign": "(x)",
    "SpaceToDepth": "<blocksize = 2> (x)",
    "Split": "<axis = 3, split = [1, 3]> (x)",
    "Squeeze": "<axes = [1]> (x)",
    "Sub": "(x, c)",
    "Sum": "(x, x)",
    "Swish": "<alpha = 1.5> (x)",
    "Tanh": "(x)",
    "Tile": "(x, repeats)",
    "Transpose": "<perm = [0, 2, 3, 1]> (x)",
    "Unsqueeze": "<axes = [1]> (x)",
    "Upsample": "<scales = [1.0, 1.0, 2.0, 3.0]> (x)",
}
CALLS_SINCE = {
    ("Clip", 11): "(x, zero)",
    ("Max", 8): "(x, c)",
    ("Min", 8): "(x, c)",
    ("Pad", 11): "(x, pads)",
    ("ReduceMax", 18): "(x, spatial)",
    ("ReduceMean", 18): "(x, spatial)",
    ("ReduceSum", 13): "(x, spatial)",
    ("Resize", 11): "(x, empty, twice)",
    ("Slice", 10): "(x, starts, ends, sliced, steps)",
    ("Split", 13): "<axis = 3> (x, parts)",
    ("SpaceToDepth", 28): '<blocksize = 2, mode = "CRD"> (x)',
    ("Squeeze", 13): "(x, one)",
    ("Unsqueeze", 13): "(x, one)",
    ("Upsample", 9): "(x, twice)",
}
SPELLED = {
    "Exp": "e = Exp (x)  d = Add (e, unit)  y = Div (unit, d)",
    "Log": "e = Exp (x)  d = Add (e, unit)  y = Log (d)",
    "Reciprocal": "e = Exp (x)  d = Add (e, unit)  y = Reciprocal (d)",
}
"""Activations that are spelled with operators that are none by themselves."""
OUTPUTS = {"Split": "z, y"}
SHAPES = {
    "DepthToSpace": (8, 3, 4),
    "Expand": (2, 1, 4),
    "Gemm": (5,),
    "MatMul": (5,),
    "SpaceToDepth": (2, 4, 6),
    "Squeeze": (1, 3, 4),
}
WEIGHTS = {
    "c": small_integers(4),
    "same": small_integers(1, 2, 3, 4),
    "c1": small_integers(2),
    "p": np.array([1, 2], np.float32),
    "p4": np.array([1, 2, 4, 8], np.float32),
    "k": small_integers(3, 2, 2, 2),
    "t": small_integers(2, 3, 2, 2),
    "w": small_integers(5, 4),
    "empty": np.zeros(0, np.float32),
    "twice": np.array([1, 1, 2, 3], np.float32),
    "starts": np.array([1, -1]),
    "ends": np.array([9, -9]),
    "sliced": np.array([1, 3]),
    "steps": np.array([1, -2]),
    "parts": np.array([1, 3]),
    "zero": np.array(0, np.float32),
    "unit": np.array(1, np.float32),
    "half": np.array(0.5, np.float32),
    "seven": np.array(7, np.int8),
    "shape": np.array([0, 4, 6]),
    "bigger": np.array([1, 2, 3, 1]),
    "repeats": np.array([1, 2, 1, 3]),
    "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]),
    "spatial": np.array([2, 3]),
    "one": np.array([1]),
    "backwards": np.array([2, -2, 0]),
}


def minimal(operator, version):
    """Return the smallest model with an operator in one version, and the shape of its input."""
    if operator in SPELLED:
        body = f"(float[1, 2, 3, 4] y) {{ {SPELLED[operator]} }}"
        return f"net (float[1, 2, 3, 4] x) => {body}", (2, 3, 4)
    call = CALLS[operator]
    for (name, since), newer in CALLS_SINCE.items():
        if name == operator and version >= since:
            call = newer
    shape = SHAPES.get(operator, (2, 3, 4))
    kinds = {"ArgMax": "int64", "Cast": "double", "QuantizeLinear": "int8"}
    kind = kinds.get(operator, "float")
    entry = {"DequantizeLinear": "int8"}.get(operator, "float")
    head = f"net ({entry}[1, {str(list(shape))[1:-1]}] x)"
    node = f"{{ {OUTPUTS.get(operator, 'y')} = {operator} {call} }}"
    sizes = shape_of_output(f"{head} => (float y) {node}", shape, max(version, OLDEST_OPSET))
    return f"{head} => ({kind}[{sizes}] y) {node}", shape


def shape_of_output(text, shape, opset):
    """Return as text what onnx infers; its checker wants the output to have a shape."""
    graph = onnx.parser.parse_graph(text)
    (node,) = graph.node
    kind = graph.input[0].type.tensor_type.elem_type
    types = {"x": onnx.helper.make_tensor_type_proto(kind, (1, *shape))}
    data = {name: onnx.numpy_helper.from_array(array) for name, array in WEIGHTS.items()}
    types |= {
        name: onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        for name, tensor in data.items()
    }
    schema = onnx.defs.get_schema(node.op_type, opset)
    inferred = onnx.shape_inference.infer_node_outputs(schema, node, types, data)["y"]
    return ", ".join(str(size.dim_value) for size in inferred.tensor_type.shape.dim)


def standard():
    """Return the names of ONNX's own operators; our functions have no versions there."""
    return [name for name in IMPORTERS if "." not in name]


def listed():
    return [(name, version) for name in standard() for version in IMPORTERS[name].versions]


@pytest.mark.parametrize(("operator", "version"), listed())
def test_every_listed_version_computes_the_same(operator, version):
    opset = max(version, OLDEST_OPSET)
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("newer than the installed onnx")
    text, shape = minimal(operator, version)
    x = small_integers(2, *shape, seed=1)

    model = import_text(text, opset=opset, **WEIGHTS)

    runner = run_onnxruntime if opset <= NEWEST_OF_ONNXRUNTIME else run_reference
    np.testing.assert_allclose(run(model.graph, x), runner(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operator", standard())
def test_every_version_since_the_oldest_opset_is_listed(operator):
    every = {
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == operator and not schema.domain and not schema.deprecated
    }
    oldest = max((v for v in every if v <= OLDEST_OPSET), default=min(every))

    missing = {version for version in every if version >= oldest} - {
        *IMPORTERS[operator].versions
    }

    assert not missing


def test_every_module_registers_an_importer():
    modules = {
        f"toolchain.ops.{module.name}"
        for module in pkgutil.iter_modules(toolchain.ops.__path__)
        if not module.name.startswith("_")
    }

    assert {IMPORTERS[name].__module__ for name in IMPORTERS} == modules


def test_every_importer_says_what_becomes_of_its_operator():
    for name in IMPORTERS:
        assert (IMPORTERS[name].__doc__ or "").partition("\n")[0].endswith(".")


def test_the_page_of_supported_operators_is_up_to_date():
    page = ROOT / "docs" / "supported-operators.md"

    assert page.read_text() == describe_operators()


def test_an_unknown_version_is_refused(monkeypatch):
    monkeypatch.setattr(IMPORTERS["Relu"], "versions", (6, 13))

    with pytest.raises(UnsupportedOpError) as error:
        import_text("net (float[N, 3] x) => (float[N, 3] y) { [act] y = Relu (x) }")

    assert str(error.value) == (
        "import at 'act': Relu has version 14; versions 6, 13 are supported\n"
        "  hint: export the model with an older opset"
    )


def test_an_attribute_that_the_importer_does_not_ask_for_is_refused(monkeypatch):
    hand_on = Importer(lambda call: call.pass_on(call.passed_value()), (20,))
    monkeypatch.setitem(IMPORTERS._things, "Gelu", hand_on)

    with pytest.raises(UnsupportedOpError) as error:
        import_text(
            """net (float[N, 3] x) => (float[N, 3] y) {
                [act] y = Gelu <approximate = "tanh"> (x) }""",
            opset=20,
        )

    assert str(error.value) == (
        "import at 'act': Gelu has attribute approximate, which is not supported"
    )
