"""Architectures fit their samples, static or with windows, and train in every mode."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import TrainingError, UnknownNameError

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.training._torch import nn  # noqa: E402
from toolchain.training.mixing import MODES  # noqa: E402
from toolchain.training.network import INPUT, Network, Permute, Scale, Step  # noqa: E402
from toolchain.training.networks import ARCHITECTURES, build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402
from toolchain.training.qcfs import Qcfs  # noqa: E402

SIZES = {
    "mlp": {"widths": (20, 15)},
    "vgg": {"stages": ((4,), (6,)), "widths": (12,)},
    "resnet": {"width": 3, "blocks": (1, 1)},
    "ms-resnet": {"width": 3, "blocks": (1, 1)},
}


def lm_ht(mode="full", windows=3):
    return lambda: MultiThreshold(2, windows, mixing=mode)


@pytest.mark.parametrize("has_window_axis", [False, True], ids=["static", "frames"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_of_a_network_gets_a_gradient(name, mode, has_window_axis):
    torch.manual_seed(0)
    network = build_network(
        name, (2, 8, 8), 5, lm_ht(mode), has_window_axis=has_window_axis, **SIZES[name]
    )
    x = 2 * torch.randn(6, *(3,) * has_window_axis, 2, 8, 8)

    logits = network(x)
    logits.square().sum().backward()

    assert logits.shape == (6, 5)
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert not missing


def test_windows_are_frames_in_their_order():
    torch.manual_seed(0)
    network = build_network(
        "mlp", (4,), 2, lm_ht("lower"), has_window_axis=True, widths=(30,)
    ).eval()
    x = torch.randn(1, 3, 4)
    changed = x.clone()
    changed[:, 2] += 5

    values = [[y for _, _, y in network.evaluate(sample)] for sample in (x, changed)]

    first, second = (steps[2] for steps in values)
    assert torch.equal(first[:2], second[:2])
    assert not torch.equal(first[2], second[2])


def test_a_static_sample_is_the_same_as_repeated_frames():
    torch.manual_seed(0)
    static = build_network("vgg", (2, 8, 8), 5, lm_ht(), **SIZES["vgg"]).eval()
    framed = Network(static.steps, static.sample_shape, has_window_axis=True).eval()
    x = torch.randn(4, 2, 8, 8)

    torch.testing.assert_close(
        static(x), framed(x[:, None].expand(4, 3, 2, 8, 8)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["resnet", "ms-resnet"])
def test_the_first_convolution_may_be_larger_and_leave_out_positions(name):
    built = build_network(
        name, (3, 32, 32), 4, nn.ReLU, width=2, blocks=[1, 1], stem=[7, 4]
    ).eval()

    shapes = {
        step.name: y.shape[2:] for step, _, y in built.evaluate(torch.zeros(1, 3, 32, 32))
    }

    assert built["stem-conv"].kernel_size == (7, 7)
    assert shapes["stem-norm"] == (2, 8, 8)
    assert shapes["block2-1-sum"] == (4, 4, 4)


def test_samples_of_another_shape_are_refused():
    network = build_network("mlp", (2, 3), 2, nn.ReLU)

    with pytest.raises(TrainingError) as error:
        network(torch.zeros(5, 3, 2))

    assert error.value.problem == ("samples come as (5, 3, 2); the network reads (batch, 2, 3)")


def test_too_many_stages_are_refused_by_the_pool_that_finds_nothing():
    with pytest.raises(TrainingError) as error:
        build_network("vgg", (1, 4, 4), 2, nn.ReLU, stages=((2,), (2,), (2,)))

    assert error.value.node == "pool3"


def test_images_are_needed_for_convolutions():
    with pytest.raises(TrainingError) as error:
        build_network("resnet", (10,), 2, nn.ReLU)

    assert error.value.hint == "use the network 'mlp', or reshape the samples"


def test_an_unknown_architecture_names_those_there_are():
    with pytest.raises(UnknownNameError, match="there are mlp, vgg, resnet, ms-resnet"):
        build_network("vit", (10,), 2, nn.ReLU)


def test_layers_with_different_windows_are_refused():
    steps = [
        Step("a", (INPUT,), MultiThreshold(2, 2)),
        Step("b", ("a",), MultiThreshold(2, 3)),
    ]

    with pytest.raises(TrainingError, match="layers have 2 and 3 windows"):
        Network(steps, (4,)).windows  # noqa: B018


def test_samples_are_scaled_before_the_first_layer():
    network = build_network("mlp", (4,), 2, nn.ReLU, input_scale=1 / 255)

    assert isinstance(network["scaled"], Scale)
    assert network["scaled"].factor == pytest.approx(1 / 255)


def test_a_permutation_brings_values_into_order():
    x = torch.arange(12.0).reshape(2, 2, 3)

    y = Permute((6,), [5, 4, 3, 2, 1, 0])(x)

    np.testing.assert_array_equal(y, [[5, 4, 3, 2, 1, 0], [11, 10, 9, 8, 7, 6]])


def test_the_staircase_has_its_levels_and_halves_round_up():
    step = Qcfs(4, 2.0)
    x = torch.tensor([-1.0, 0.24, 0.25, 0.75, 1.9, 7.0])

    np.testing.assert_array_equal(step(x).detach(), [0, 0, 0.5, 1.0, 2.0, 2.0])


def test_the_staircase_trains_its_scale():
    step = Qcfs(2, 1.0)

    step(torch.tensor([5.0, 0.3])).sum().backward()

    # saturated: 1; inside, with the floor as identity: (rounded share) - share = 0.5 - 0.3
    assert step.threshold.grad.item() == pytest.approx(1 + 0.5 - 0.3)


def test_the_scale_of_a_staircase_stays_above_zero():
    step = Qcfs(2, 1.0)
    with torch.no_grad():
        step.threshold.fill_(-1.0)

    step.confine()

    assert step.threshold.item() > 0
