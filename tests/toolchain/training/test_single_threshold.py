"""Neurons of one threshold that integrate, then fire, send what trained ones do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.errors import TrainingError  # noqa: E402
from toolchain.training.mixing import MODES  # noqa: E402
from toolchain.training.networks import build_network  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402
from toolchain.training.single_threshold import (  # noqa: E402
    WAYS,
    SingleThreshold,
    compare,
    with_single_thresholds,
)


def neuron(levels, windows, mixing, seed, *, initial=0.25, retention=1.0):
    made = MultiThreshold(
        levels, windows, threshold=1.0, mixing=mixing, initial=initial, retention=retention
    ).double()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in made.mixing.parameters():
            parameter.copy_(torch.randn(windows, windows))
    return made


def currents(windows, seed):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(windows, 3, 7, generator=generator, dtype=torch.double)


@settings(deadline=None)
@given(
    levels=st.integers(1, 16),
    windows=st.integers(1, 6),
    mixing=st.sampled_from(MODES),
    retention=st.sampled_from([0.5, 0.75, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_integrate_then_fire_sends_what_several_thresholds_do(
    levels, windows, mixing, retention, seed
):
    trained = neuron(levels, windows, mixing, seed, retention=retention)
    x = currents(windows, seed)

    single = SingleThreshold(trained, "exact")

    torch.testing.assert_close(single(x), trained(x))
    torch.testing.assert_close(single(x[:1]), trained(x[:1]))


def test_evenly_spread_currents_send_as_much_where_none_is_negative():
    trained = neuron(4, 2, "full", 0)
    x = currents(2, 0).abs()

    assert torch.equal(SingleThreshold(trained, "uniform")(x), trained(x))


def test_evenly_spread_currents_spike_too_late_and_too_early():
    trained = MultiThreshold(2, 2, mixing="diagonal").double()
    x = torch.tensor([[[-2.0, 4.0]], [[4.0, -1.5]]]).double()

    single = SingleThreshold(trained, "uniform")

    assert trained(x).tolist() == [[[0.0, 2.0]], [[2.0, 0.0]]]
    assert single(x).tolist() == [[[0.0, 2.0]], [[1.0, 1.0]]]


@pytest.mark.parametrize("name", ["resnet", "ms-resnet"])
def test_a_network_is_compared_count_by_count(name):
    torch.manual_seed(0)
    network = build_network(
        name,
        (1, 8, 8),
        3,
        lambda: MultiThreshold(2, 3, mixing="lower"),
        has_window_axis=True,
        width=3,
        blocks=(1, 1),
    ).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 3.0)
    with torch.no_grad():
        for _ in range(30):
            network(torch.randn(32, 3, 1, 8, 8).double())
    network.eval()
    x = torch.randn(20, 3, 1, 8, 8).double()

    singles = {way: with_single_thresholds(network, way) for way in WAYS}
    found = compare(network, singles, x)

    exact, uniform = found["exact"], found["uniform"]
    assert exact.differing == 0
    torch.testing.assert_close(exact.logits, network(x))
    assert 0 < uniform.differing < uniform.counts / 5


def test_another_way_is_refused():
    with pytest.raises(
        TrainingError, match="no way is called 'even'; there are exact, uniform"
    ):
        SingleThreshold(MultiThreshold(2, 2), "even")
