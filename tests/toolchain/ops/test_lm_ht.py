"""Trained neurons become `LmHt` nodes that compute what onnxruntime does with the file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedOpError
from toolchain.frontend.testing import (
    check_against_onnxruntime,
    import_proto,
    run_onnxruntime,
    small_integers,
    spiking_model,
)
from toolchain.ir.ann import HostOp, Input
from toolchain.ir.reference import run
from toolchain.ir.snn import LmHt
from toolchain.ir.verify import accounted, verify

SHAPE = (2, 4, 4)


def neuron(windows, **changed):
    """Return the text of a neuron's attributes; 1 to 64ths, so that float32 is exact."""
    fields = {
        "levels": 3,
        "windows": windows,
        "threshold": 1.5,
        "mixing": np.eye(windows).ravel().tolist(),
        "retention": 1.0,
        "initial": 0.0,
        **changed,
    }
    return "<" + ", ".join(f"{name} = {value}" for name, value in fields.items()) + ">"


def drawn_neuron(random, windows):
    """Return a neuron in whose potentials float32 makes no rounding errors."""
    return neuron(
        windows,
        levels=random.integers(1, 7),
        threshold=random.integers(1, 5) / 2.0,
        mixing=(random.integers(-4, 9, windows**2) / 8.0).tolist(),
        retention=random.choice([0.5, 0.75, 1.0]),
        initial=random.integers(-4, 9) / 8.0,
    )


def network(windows, layers, *, frames=False, shape=SHAPE, **weights):
    """Return a model of ``layers``, lines that read ``{}``, between entry and mean."""
    axis = f"{windows}, " if frames else ""
    kind = "FoldWindows" if frames else "RepeatWindows"
    lines, value = [f"[entry] v = ai.snn_compile.{kind} <windows = {windows}> (x)"], "v"
    for i, layer in enumerate(layers):
        lines.append(f"[n{i}] v{i} = {layer.format(value)}")
        value = f"v{i}"
    lines.append(f"[mean] y = ai.snn_compile.AverageWindows <windows = {windows}> ({value})")
    sizes = ", ".join(map(str, shape))
    text = f"net (float[N, {axis}{sizes}] x) => (float[N, M] y) {{ {' '.join(lines)} }}"
    return spiking_model(text, windows=windows, **weights)


@settings(max_examples=60, deadline=None)
@given(
    windows=st.integers(1, 4),
    frames=st.booleans(),
    pool=st.sampled_from(["MaxPool", "AveragePool"]),
    seed=st.integers(0, 2**16),
)
def test_random_networks_equal_onnxruntime_spike_by_spike(windows, frames, pool, seed):
    random = np.random.default_rng(seed)
    layers = [
        "Conv <pads = [1, 1, 1, 1]> ({}, k)",
        f"ai.snn_compile.MultiThreshold {drawn_neuron(random, windows)} ({{}})",
        f"{pool} <kernel_shape = [2, 2], strides = [2, 2]> ({{}})",
        "Flatten ({})",
        "Gemm <transB = 1> ({}, w, b)",
        f"ai.snn_compile.MultiThreshold {drawn_neuron(random, windows)} ({{}})",
        "MatMul ({}, u)",
    ]
    weights = {
        "k": small_integers(3, 2, 3, 3, seed=seed) / 4,
        "w": small_integers(6, 12, seed=seed + 1) / 4,
        "b": small_integers(6, seed=seed + 2) / 4,
        "u": small_integers(6, 5, seed=seed + 3) / 4,
    }
    x = small_integers(6, *(windows,) * frames, *SHAPE, seed=seed + 4) / 4

    model = import_proto(network(windows, layers, frames=frames, **weights))

    verify(model.graph)
    assert len(accounted(model.graph)) == len(model.graph.source_nodes) == 9
    assert model.input_shape == x.shape[1:]
    np.testing.assert_allclose(
        run(model.graph, x), run_onnxruntime(model, x), rtol=1e-5, atol=1e-5
    )


def test_a_neuron_is_what_its_attributes_say():
    said = neuron(
        2, levels=5, threshold=0.75, mixing=[1.0, 0.0, 0.5, -1.0], retention=0.5, initial=0.25
    )
    layers = [f"ai.snn_compile.MultiThreshold {said} ({{}})"]

    (node,) = import_proto(network(2, layers)).graph.of_type(LmHt)

    assert (node.levels, node.threshold, node.retention, node.initial) == (5, 0.75, 0.5, 0.25)
    np.testing.assert_array_equal(node.mixing, [[1, 0], [0.5, -1]])
    assert (node.tensor, node.origin[0]) == ("v0", "n0")


@pytest.mark.parametrize("windows", [1, 3])
def test_the_window_axis_of_the_sample_comes_first(windows):
    layers = [f"ai.snn_compile.MultiThreshold {neuron(windows)} ({{}})"]

    model = import_proto(network(windows, layers, frames=True))

    entry = model.graph.input
    assert (entry.windows, entry.shape) == (windows, SHAPE)
    assert entry.source_shape == ((1, *SHAPE) if windows == 1 else SHAPE)
    assert model.input_shape == (windows, *SHAPE)
    check_against_onnxruntime(model, small_integers(4, windows, *SHAPE))


def test_sequences_of_vectors_have_windows_too():
    layers = [f"ai.snn_compile.MultiThreshold {neuron(3)} ({{}})", "MatMul ({}, w)"]

    model = import_proto(network(3, layers, frames=True, shape=(7,), w=small_integers(7, 2)))

    assert model.input_shape == (3, 7)
    check_against_onnxruntime(model, small_integers(4, 3, 7))


def test_a_layer_may_stand_before_the_windows():
    text = f"""net (float[N, 4] x) => (float[N, 2] y) {{
        a = MatMul (x, w)
        b = ai.snn_compile.RepeatWindows <windows = 2> (a)
        c = ai.snn_compile.MultiThreshold {neuron(2, mixing=[1.0, 0.5, 0.25, 1.0])} (b)
        d = MatMul (c, u)
        y = ai.snn_compile.AverageWindows <windows = 2> (d) }}"""

    model = import_proto(
        spiking_model(text, windows=2, w=small_integers(4, 5), u=small_integers(5, 2, seed=1))
    )

    check_against_onnxruntime(model, small_integers(20, 4, seed=2))


@pytest.mark.parametrize("windows", [1, 2])
def test_channels_may_be_last(windows):
    layers = [
        "Transpose <perm = [0, 2, 3, 1]> ({})",
        f"ai.snn_compile.MultiThreshold {neuron(windows)} ({{}})",
        "Flatten ({})",
        "MatMul ({}, w)",
    ]
    weights = {"w": small_integers(32, 3)}

    model = import_proto(network(windows, layers, frames=True, **weights))

    check_against_onnxruntime(model, small_integers(6, windows, *SHAPE, seed=1))


def test_the_host_computes_what_comes_after_the_mean():
    layers = [
        "MatMul ({}, w)",
        f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})",
        "MatMul ({}, w)",
    ]
    proto = network(2, layers, shape=(3,), w=small_integers(3, 3))
    proto.graph.node[-1].output[0] = "m"
    text = "net (float[N, M] m) => (float[N, M] y) { [act] r = Relu (m) [end] y = Softmax (r) }"
    proto.graph.node.extend(spiking_model(text, windows=2).graph.node)

    model = import_proto(proto)

    assert [step.function for step in model.graph.output.tail] == ["relu", "softmax"]
    assert all(isinstance(step, HostOp) for step in model.graph.output.tail)
    check_against_onnxruntime(model, small_integers(6, 3, seed=1))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"levels": 0}, "MultiThreshold has levels=0; 1 to 1023 are supported"),
        ({"levels": 5000}, "MultiThreshold has levels=5000; 1 to 1023 are supported"),
        ({"threshold": 0.0}, "MultiThreshold has threshold=0; it must be above 0"),
        ({"threshold": -1.5}, "MultiThreshold has threshold=-1.5; it must be above 0"),
        ({"retention": 1.25}, "MultiThreshold has retention=1.25; 0 to 1 are supported"),
        ({"retention": -0.5}, "MultiThreshold has retention=-0.5; 0 to 1 are supported"),
        (
            {"mixing": [1.0, 0.0, 1.0]},
            "MultiThreshold has 3 numbers as mixing; windows=2 needs 4",
        ),
    ],
)
def test_attributes_out_of_range_are_refused(changed, problem):
    layers = [f"ai.snn_compile.MultiThreshold {neuron(2, **changed)} ({{}})"]

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(network(2, layers))

    assert (error.value.node, error.value.problem) == ("n0", problem)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["threshold", "mixing", "retention", "initial"])
def test_attributes_that_are_no_numbers_are_refused(name, value):
    proto = network(2, [f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})"])
    (attribute,) = [a for a in proto.graph.node[1].attribute if a.name == name]
    if name == "mixing":
        attribute.floats[3] = value
    else:
        attribute.f = value

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(proto)

    assert error.value.node == "n0"
    assert name in error.value.problem


def test_a_window_axis_elsewhere_than_in_the_input_is_refused():
    text = f"""net (float[N, 2, 4] x) => (float[N, 4] y) {{
        [half] a = Mul (x, half)
        [fold] b = ai.snn_compile.FoldWindows <windows = 2> (a)
        c = ai.snn_compile.MultiThreshold {neuron(2)} (b)
        y = ai.snn_compile.AverageWindows <windows = 2> (c) }}"""

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(spiking_model(text, windows=2, half=np.array(0.5, np.float32)))

    assert str(error.value) == (
        "import at 'fold': FoldWindows reads what the network computes; only the network's "
        "input has windows\n"
        "  hint: let it be the first node, and compute within the windows"
    )


def test_a_window_axis_of_another_length_is_refused():
    proto = network(2, [f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})"], frames=True)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(proto)

    assert error.value.node == "entry"
    assert "has windows=2 and reads shape (1, 3, 2, 4, 4)" in error.value.problem


def test_a_rectifier_between_trained_neurons_is_refused():
    layers = [
        "Relu ({})",
        "Flatten ({})",
        "MatMul ({}, w)",
        f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})",
    ]

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(network(2, layers, w=small_integers(32, 3)))

    assert (error.value.node, error.value.hint) == ("n0", "train it as MultiThreshold, too")


def test_a_rectifier_before_the_mean_is_refused():
    layers = [f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})", "Relu ({})"]

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(network(2, layers))

    assert error.value.node == "mean"


def test_a_layer_after_the_mean_is_refused():
    layers = [f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})"]
    proto = network(2, layers, w=np.eye(32, dtype=np.float32))
    proto.graph.node[-1].output[0] = "m"
    text = (
        "net (float[N, 32] m, float[32, 32] w) => (float[N, 32] y) { [last] y = MatMul (m, w) }"
    )
    proto.graph.node.extend(spiking_model(text, windows=2).graph.node)

    with pytest.raises(UnsupportedOpError) as error:
        import_proto(proto)

    assert error.value.node == "last"


def test_an_input_keeps_its_windows_when_its_order_changes():
    layers = [
        "Transpose <perm = [0, 2, 3, 1]> ({})",
        "Flatten ({})",
        f"ai.snn_compile.MultiThreshold {neuron(2)} ({{}})",
        "MatMul ({}, w)",
    ]

    model = import_proto(network(2, layers, frames=True, w=small_integers(32, 3)))

    (entry,) = model.graph.of_type(Input)
    assert entry.windows == 2
    check_against_onnxruntime(model, small_integers(6, 2, *SHAPE, seed=1))
