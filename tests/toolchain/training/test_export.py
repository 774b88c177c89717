"""An exported network is plain ONNX to a runtime, and says of every neuron what it is."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import EmitError  # noqa: E402
from toolchain.training._torch import nn  # noqa: E402
from toolchain.training.export import export_network, network_model  # noqa: E402
from toolchain.training.hybrid import convert_to_neurons  # noqa: E402
from toolchain.training.mixing import MODES  # noqa: E402
from toolchain.training.network import INPUT, Network, Permute, Step  # noqa: E402
from toolchain.training.networks import build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402
from toolchain.training.qcfs import Qcfs  # noqa: E402
from toolchain.training.testing import multi_threshold_reference  # noqa: E402

SIZES = {
    "mlp": {"widths": (20, 15)},
    "vgg": {"stages": ((4,), (6,)), "widths": (12,)},
    "resnet": {"width": 3, "blocks": (1, 1)},
    "ms-resnet": {"width": 3, "blocks": (1, 1)},
}


def run(model, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": np.asarray(x, np.float32)})[0]


def scrambled(network, seed=0):
    """Move normalization and neurons away from where they start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.2, 1.5, generator=generator)
                module.bias.normal_(0.3, 0.3, generator=generator)
            if isinstance(module, MultiThreshold):
                for parameter in module.parameters():
                    parameter += torch.randn(parameter.shape, generator=generator)
    network.confine()
    return network.eval()


@pytest.mark.parametrize("has_window_axis", [False, True], ids=["static", "frames"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SIZES)
def test_onnxruntime_computes_what_torch_does(name, mode, has_window_axis):
    torch.manual_seed(0)
    network = scrambled(
        build_network(
            name,
            (2, 8, 8),
            5,
            lambda: MultiThreshold(3, 3, mixing=mode),
            has_window_axis=has_window_axis,
            **SIZES[name],
        )
    )
    x = torch.randn(7, *(3,) * has_window_axis, 2, 8, 8)

    logits = run(network_model(network), x)

    want = network(x).detach().numpy()
    assert want.std() > 0.01
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)


@given(
    levels=st.integers(1, 16),
    windows=st.sampled_from([1, 2, 4]),
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 999),
)
def test_a_neuron_sends_the_same_spikes_in_the_file(levels, windows, mode, seed):
    random = np.random.default_rng(seed)
    neuron = MultiThreshold(levels, windows, threshold=0.5, mixing=mode, initial=0.25)
    network = Network([Step("pop", (INPUT,), neuron)], (3, 5), has_window_axis=True)
    model = network_model(network)
    model.graph.node.pop()  # the mean over the windows
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("pop", onnx.TensorProto.FLOAT, ["M", 3, 5])
    )
    x = random.integers(-200, 201, (2, windows, 3, 5)) / 64

    counts = run(model, x).reshape(2, windows, 3, 5) / 0.5

    (node,) = [node for node in model.graph.node if node.op_type == "MultiThreshold"]
    said = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    mixing = np.reshape(said["mixing"], (windows, windows))
    exact = np.round(mixing * 12) / 12  # thirds arise in row 3 of the lower mode only
    keep = np.all(exact == mixing, axis=1)
    want = multi_threshold_reference(
        x.transpose(1, 0, 2, 3), mixing, levels=said["levels"], threshold=0.5, initial=0.25
    ).transpose(1, 0, 2, 3)
    first_inexact = windows if keep.all() else int(np.argmin(keep))
    np.testing.assert_array_equal(counts[:, :first_inexact], want[:, :first_inexact])


def test_a_node_of_our_domain_says_all_of_its_neuron():
    neuron = MultiThreshold(4, 2, threshold=0.75, mixing="lower", retention=0.625, initial=0.5)
    steps = [Step("fc", (INPUT,), nn.Linear(3, 4)), Step("pop", ("fc",), neuron)]

    model = network_model(Network(steps, (3,)))

    assert {o.domain: o.version for o in model.opset_import} == {"": 17, "ai.snn_compile": 1}
    assert [(n.domain, n.op_type, n.name) for n in model.graph.node] == [
        ("ai.snn_compile", "RepeatWindows", "windows"),
        ("", "Gemm", "fc"),
        ("ai.snn_compile", "MultiThreshold", "pop"),
        ("ai.snn_compile", "AverageWindows", "logits"),
    ]
    said = {a.name: onnx.helper.get_attribute_value(a) for a in model.graph.node[2].attribute}
    assert said == {
        "levels": 4,
        "windows": 2,
        "threshold": 0.75,
        "mixing": [1.0, 0.0, 0.5, 0.5],
        "retention": pytest.approx(0.625),
        "initial": 0.5,
    }


def test_weights_stay_in_the_units_of_training():
    layer = nn.Linear(3, 4)
    steps = [Step("fc", (INPUT,), layer), Step("pop", ("fc",), MultiThreshold(2, 2))]

    model = network_model(Network(steps, (3,)))

    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(weights["fc.weight"], layer.weight.detach())
    np.testing.assert_array_equal(weights["fc.bias"], layer.bias.detach())


def test_tokens_keep_their_axis():
    torch.manual_seed(0)
    steps = [
        Step("a", (INPUT,), nn.Linear(6, 4)),
        Step("pop", ("a",), MultiThreshold(2, 3)),
        Step("b", ("pop",), nn.Linear(4, 3)),
        Step("turned", ("b",), Permute((15,), np.arange(15)[::-1].copy())),
    ]
    network = Network(steps, (5, 6)).eval()
    x = torch.randn(2, 5, 6)

    logits = run(network_model(network), x)

    np.testing.assert_allclose(logits, network(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_staircase_is_a_neuron_with_one_window():
    torch.manual_seed(0)
    network = build_network("vgg", (2, 8, 8), 5, lambda: Qcfs(4, 1.0), **SIZES["vgg"]).eval()
    x = torch.randn(9, 2, 8, 8)

    model = network_model(network)

    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("MultiThreshold") == 3
    np.testing.assert_allclose(run(model, x), network(x).detach(), rtol=1e-4, atol=1e-5)


def test_an_analogue_network_is_plain_onnx():
    torch.manual_seed(0)
    network = build_network("resnet", (2, 8, 8), 5, nn.ReLU, **SIZES["resnet"]).eval()
    x = torch.randn(9, 2, 8, 8)

    model = network_model(network)

    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    np.testing.assert_allclose(run(model, x), network(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_converted_network_is_exported_with_the_logits_of_its_source():
    torch.manual_seed(0)
    network = build_network("mlp", (2, 8, 8), 5, lambda: Qcfs(4, 1.0), **SIZES["mlp"]).eval()
    x = torch.randn(9, 2, 8, 8)

    logits = run(network_model(convert_to_neurons(network, 2, 2)), x)

    np.testing.assert_allclose(logits, network(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_module_without_a_form_is_named(tmp_path):
    network = Network([Step("odd", (INPUT,), nn.GELU())], (3,))

    with pytest.raises(EmitError) as error:
        export_network(network, tmp_path / "model.onnx")

    assert error.value.node == "odd"
    assert not list(tmp_path.iterdir())
