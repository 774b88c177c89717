"""A converted network equals its source exactly before fine-tuning, biases and all."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import TrainingError  # noqa: E402
from toolchain.training._torch import nn  # noqa: E402
from toolchain.training.folding import fold_normalization  # noqa: E402
from toolchain.training.hybrid import convert_to_neurons  # noqa: E402
from toolchain.training.network import INPUT, Add, Network, Step  # noqa: E402
from toolchain.training.networks import build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402
from toolchain.training.qcfs import Qcfs  # noqa: E402

SMALL = {
    "mlp": {"widths": (20, 15)},
    "vgg": {"stages": ((4, 5), (6,)), "widths": (12,)},
    "resnet": {"width": 3, "blocks": (1, 2)},
    "ms-resnet": {"width": 3, "blocks": (1, 2)},
}


def trained(name, levels, seed=0):
    """Return a network in float64 as training could leave it: nothing is at its start."""
    torch.manual_seed(seed)
    made = build_network(name, (2, 8, 8), 5, lambda: Qcfs(levels), **SMALL[name]).double()
    for module in made.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, 1.5, 0.3)
            nn.init.normal_(module.bias, 0.3, 0.5)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.1, 0.5)
        if isinstance(module, Qcfs):
            module.threshold.data.uniform_(0.8, 2.5)
    return made.eval()


def samples(count=20):
    return torch.randn(
        count, 2, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("name", SMALL)
def test_folding_keeps_what_a_network_computes(name):
    network = trained(name, 4)
    x = samples()

    folded = fold_normalization(network)

    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    torch.testing.assert_close(folded(x), network(x), rtol=1e-9, atol=1e-9)


def test_normalization_without_a_layer_becomes_a_scale():
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(0.5)
    network = (
        Network(
            [Step("norm", (INPUT,), norm), Step("flat", ("norm",), nn.Flatten())], (2, 8, 8)
        )
        .double()
        .eval()
    )
    x = samples()

    folded = fold_normalization(network)

    assert not isinstance(folded["norm"], nn.BatchNorm2d)
    torch.testing.assert_close(folded(x), network(x))


@pytest.mark.parametrize(
    ("levels", "windows"), [(1, 4), (2, 2), (4, 1), (4, 2), (2, 3), (3, 2)]
)
@pytest.mark.parametrize("name", SMALL)
def test_a_converted_network_equals_its_source_before_fine_tuning(name, levels, windows):
    network = trained(name, levels * windows)
    x = samples()

    spiking = convert_to_neurons(network, levels, windows).eval()

    want = network(x)
    assert want.std() > 0.01
    torch.testing.assert_close(spiking(x), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_without_scaled_biases_it_would_be_another_network(name):
    network = trained(name, 4)
    spiking = convert_to_neurons(network, 2, 2).eval()
    layers = [m for m in spiking.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    with torch.no_grad():
        for layer in layers[1:-1]:
            layer.bias /= 2
    x = samples()

    difference = (spiking(x) - network(x)).abs().amax(dim=1)

    assert (difference > 1e-6).double().mean() > 0.5


def test_the_threshold_and_the_initial_potential_are_those_of_the_paper():
    network = trained("mlp", 4)

    spiking = convert_to_neurons(network, 2, 2, mixing="uniform")

    step, neuron = network["dense1-act"], spiking["dense1-act"]
    assert isinstance(neuron, MultiThreshold)
    assert neuron.threshold.item() == step.threshold.item()
    assert neuron.initial.item() == step.threshold.item() / 2
    torch.testing.assert_close(neuron.mixing(), torch.full((2, 2), 0.5, dtype=torch.double))


def test_the_source_is_left_as_it_is():
    network = trained("vgg", 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    convert_to_neurons(network, 2, 2)

    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_rectifier_is_refused_by_name():
    network = build_network("mlp", (4,), 2, nn.ReLU, widths=(3,))

    with pytest.raises(TrainingError) as error:
        convert_to_neurons(network, 2, 2)

    assert error.value.node == "dense1-act"
    assert error.value.hint == "train the network with the activation 'qcfs' first"


def test_a_sum_on_two_scales_is_refused_by_name():
    steps = [
        Step("fc", (INPUT,), nn.Linear(3, 3)),
        Step("act", ("fc",), Qcfs(4)),
        Step("sum", ("act", INPUT), Add()),
    ]

    with pytest.raises(TrainingError) as error:
        convert_to_neurons(Network(steps, (3,)), 2, 2)

    assert error.value.node == "sum"
