"""Operations are counted spike by spike, and what the published monitor leaves out apart."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from toolchain.training._torch import nn  # noqa: E402
from toolchain.training.monitor import Operations, count_operations  # noqa: E402
from toolchain.training.network import INPUT, Add, Network, Scale, Step  # noqa: E402
from toolchain.training.neuron import MultiThreshold  # noqa: E402


def always(levels, windows):
    """Return neurons that send their largest count in every window."""
    return MultiThreshold(levels, windows, threshold=1.0, initial=100.0, mixing="full")


def network(*steps, shape, has_window_axis=False):
    return Network(
        [Step(*step) for step in steps], shape, has_window_axis=has_window_axis
    ).eval()


def test_every_spike_counts_once_for_each_synapse():
    net = network(
        ("a", (INPUT,), nn.Linear(3, 4)),
        ("pop", ("a",), always(2, 3)),
        ("b", ("pop",), nn.Linear(4, 5)),
        shape=(3,),
    )

    found = count_operations(net, torch.zeros(7, 3))

    assert found == Operations(
        spikes=4 * 2 * 3,
        synaptic_operations=4 * 2 * 3 * 5,
        input_operations=3 * 4,
        mixing_operations=0,
    )


def test_what_falls_on_padding_is_no_operation():
    net = network(
        ("pop", (INPUT,), always(1, 1)),
        ("conv", ("pop",), nn.Conv2d(1, 2, 3, padding=1)),
        shape=(1, 3, 3),
    )

    found = count_operations(net, torch.zeros(2, 1, 3, 3))

    # a corner reaches 4 positions, an edge 6 and the middle 9, in 2 channels
    assert found.synaptic_operations == 2 * (4 * 4 + 4 * 6 + 9)


def test_a_pool_passes_every_spike_on():
    net = network(
        ("pop", (INPUT,), always(3, 1)),
        ("pool", ("pop",), nn.AvgPool2d(2)),
        ("flat", ("pool",), nn.Flatten()),
        ("fc", ("flat",), nn.Linear(4, 5)),
        shape=(1, 4, 4),
    )

    assert count_operations(net, torch.zeros(1, 1, 4, 4)).synaptic_operations == 16 * 3 * 5


def test_a_shortcut_of_spikes_into_currents_is_an_operation_each():
    net = network(
        ("pop", (INPUT,), always(2, 1)),
        ("fc", ("pop",), nn.Linear(3, 3)),
        ("sum", ("pop", "fc"), Add()),
        ("end", ("sum",), always(1, 1)),
        ("out", ("end",), nn.Linear(3, 2)),
        shape=(3,),
    )

    found = count_operations(net, torch.zeros(1, 3))

    assert found.synaptic_operations == 3 * 2 * 3 + 3 * 2 + 3 * 2


def test_mixing_counts_its_entries_for_every_neuron():
    net = network(
        ("scaled", (INPUT,), Scale(0.5)),
        ("fc", ("scaled",), nn.Linear(3, 4)),
        ("pop", ("fc",), MultiThreshold(2, 3, mixing="lower")),
        ("out", ("pop",), nn.Linear(4, 2)),
        shape=(3,),
        has_window_axis=True,
    )

    found = count_operations(net, torch.zeros(5, 3, 3))

    assert found.mixing_operations == 4 * 6
    assert found.input_operations == 3 * 3 * 4


def test_energy_is_modelled_with_the_published_constants():
    found = Operations(
        spikes=0, synaptic_operations=1e9, input_operations=1e9, mixing_operations=1e9
    )

    assert found.energy_j == pytest.approx(0.9e-3)
    assert found.energy_with_all_j == pytest.approx(0.9e-3 + 2 * 4.6e-3)
    assert found.as_dict()["energy_j"] == found.energy_j
