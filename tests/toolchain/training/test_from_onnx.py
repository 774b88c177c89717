"""What the compiler imports can be trained, and starts as the network it was."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import UnsupportedOpError  # noqa: E402
from toolchain.frontend.testing import import_text, run_onnxruntime  # noqa: E402
from toolchain.training._torch import nn  # noqa: E402
from toolchain.training.export import network_model  # noqa: E402
from toolchain.training.from_onnx import (  # noqa: E402
    network_from_graph,
    network_from_onnx,
    with_staircases,
)
from toolchain.training.hybrid import convert_to_neurons  # noqa: E402
from toolchain.training.qcfs import Qcfs  # noqa: E402

NET = """net (float[N, 2, 9, 9] x) => (float[N, 3] y) {
    c = Conv<pads=[1, 1, 0, 0], strides=[2, 2]>(x, w1, b1)
    n = BatchNormalization(c, g, h, mean, var)
    r = Relu(n)
    m = MaxPool<kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]>(r)
    d = Conv<group=2>(m, w2)
    a = AveragePool<kernel_shape=[2, 2], strides=[1, 1]>(d)
    s = Relu(a)
    f = Flatten(s)
    z = Gemm<transB=1>(f, w3, b3)
    y = Softmax(z)
}"""


def normal(random, *shape):
    return random.normal(size=shape).astype(np.float32)


def imported(tmp_path):
    random = np.random.default_rng(0)
    return import_text(
        NET,
        w1=normal(random, 4, 2, 3, 3),
        b1=normal(random, 4),
        g=normal(random, 4),
        h=normal(random, 4),
        mean=normal(random, 4),
        var=np.abs(normal(random, 4)) + 0.5,
        w2=normal(random, 4, 2, 2, 2),
        w3=normal(random, 3, 16),
        b3=normal(random, 3),
    )


def loaded(tmp_path):
    """Return the imported model, its network, and samples."""
    model = imported(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.source.content())
    x = normal(np.random.default_rng(1), 20, 2, 9, 9)
    return model, network_from_onnx(path), x


def test_an_imported_network_computes_what_the_model_does(tmp_path):
    model, network, x = loaded(tmp_path)

    y = torch.softmax(network(torch.as_tensor(x)), dim=1).detach().numpy()

    np.testing.assert_allclose(y, run_onnxruntime(model, x), rtol=1e-4, atol=1e-5)


def test_all_its_weights_can_be_trained(tmp_path):
    _, network, x = loaded(tmp_path)

    network(torch.as_tensor(x)).square().sum().backward()

    assert all(p.grad is not None for p in network.parameters())


def test_staircases_of_many_levels_come_close_and_take_their_scale_from_samples(tmp_path):
    _, network, x = loaded(tmp_path)
    x = torch.as_tensor(x)

    stepped = with_staircases(network, 4096, x)

    steps = [m for m in stepped.modules() if isinstance(m, Qcfs)]
    assert len(steps) == 2
    assert not [m for m in stepped.modules() if isinstance(m, nn.ReLU)]
    difference = (stepped(x) - network(x)).abs().mean() / network(x).abs().mean()
    assert difference < 0.02


def test_the_neurons_of_an_imported_network_equal_its_staircases(tmp_path):
    model = import_text(
        """net (float[N, 6] x) => (float[N, 3] y) {
            a = Gemm<transB=1>(x, w1, b1)
            r = Relu(a)
            b = Gemm<transB=1>(r, w2, b2)
            s = Relu(b)
            y = Gemm<transB=1>(s, w3, b3)
        }""",
        **{
            name: normal(np.random.default_rng(i), *shape)
            for i, (name, shape) in enumerate(
                {
                    "w1": (9, 6),
                    "b1": (9,),
                    "w2": (8, 9),
                    "b2": (8,),
                    "w3": (3, 8),
                    "b3": (3,),
                }.items()
            )
        },
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.source.content())
    x = torch.as_tensor(normal(np.random.default_rng(9), 50, 6)).double()
    stepped = with_staircases(network_from_onnx(path).double(), 4, x).double()

    spiking = convert_to_neurons(stepped, 2, 2)

    torch.testing.assert_close(spiking(x), stepped(x), rtol=1e-9, atol=1e-9)
    assert network_model(spiking).functions


def test_a_channels_last_input_is_brought_into_order(tmp_path):
    model = import_text(
        """net (float[N, 4, 4, 2] x) => (float[N, 3] y) {
            t = Transpose<perm=[0, 3, 1, 2]>(x)
            c = Conv(t, w1)
            r = Relu(c)
            f = Flatten(r)
            y = Gemm<transB=1>(f, w2)
        }""",
        w1=normal(np.random.default_rng(0), 2, 2, 3, 3),
        w2=normal(np.random.default_rng(1), 3, 8),
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.source.content())
    x = normal(np.random.default_rng(2), 5, 4, 4, 2)

    y = network_from_onnx(path)(torch.as_tensor(x))

    np.testing.assert_allclose(y.detach(), run_onnxruntime(model, x), rtol=1e-4, atol=1e-5)


def test_a_rectifier_that_is_never_above_zero_is_named(tmp_path):
    _, network, x = loaded(tmp_path)
    name = next(s.name for s in network.steps if isinstance(s.module, nn.ReLU))
    layer = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(-1.0)

    with pytest.raises(UnsupportedOpError) as error:
        with_staircases(network, 4, torch.as_tensor(x))

    assert error.value.node == name


def test_an_answer_instead_of_logits_cannot_be_trained():
    model = import_text(
        """net (float[N, 6] x) => (int64[N, 1] y) {
            a = Gemm<transB=1>(x, w1)
            y = ArgMax<axis=1>(a)
        }""",
        w1=normal(np.random.default_rng(0), 3, 6),
    )

    with pytest.raises(UnsupportedOpError, match="ends with argmax"):
        network_from_graph(model.graph)
