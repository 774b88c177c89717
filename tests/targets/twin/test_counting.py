"""Samples are counted in pieces, and what a machine counts wrongly takes the slow way."""

from __future__ import annotations

import gc
import weakref
from random import Random

import numpy as np
import pytest

from targets.twin import counting
from targets.twin.counting import CountingNetwork, trusted_layout
from targets.twin.layout import lay_out
from toolchain.errors import MissingDependencyError
from toolchain.ir.counts import sweep
from toolchain.ir.snn import Spiking
from toolchain.testing import extreme_inputs, samples_of

SEED = 1


@pytest.mark.parametrize("samples", [1, 3, 16, 50, 700])
@pytest.mark.parametrize("shared_bytes", [0, 2**16])
def test_pieces_are_put_together_in_order(branches, monkeypatch, samples, shared_bytes):
    graph = branches(Random(SEED))
    encoded = extreme_inputs(graph, Random(SEED), max(samples, 3))[-samples:]
    monkeypatch.setattr(counting, "_SHARED_BYTES", shared_bytes)
    network = CountingNetwork(lay_out(graph), threads=2)

    sums, counts = network.sums(encoded), network.counts(encoded)

    wanted = {node.name: y for node, _, y in sweep(graph, samples_of(graph.input, encoded))}
    np.testing.assert_array_equal(sums, wanted[graph.producer(graph.output).name])
    assert sums.dtype == np.int64
    assert list(counts) == [node.name for node in graph.of_type(Spiking)]
    for name, found in counts.items():
        np.testing.assert_array_equal(found, wanted[name])


def test_openvino_is_not_started_for_a_few_samples(branches, monkeypatch):
    graph = branches(Random(SEED))
    encoded = extreme_inputs(graph, Random(SEED), 3)
    network = CountingNetwork(lay_out(graph), threads=2)
    monkeypatch.setattr(counting, "is_installed", pytest.fail)

    network.sums(encoded)

    assert not network.is_for_openvino(len(encoded))


@pytest.fixture
def without_collector():
    """Leave freeing to counts of references."""
    gc.disable()
    yield
    gc.enable()


def test_a_network_that_is_dropped_is_freed_at_once(branches, without_collector):
    graph = branches(Random(SEED))
    network = CountingNetwork(lay_out(graph), threads=2)
    network.sums_and_counts(extreme_inputs(graph, Random(SEED), 50), [])
    network.sums(extreme_inputs(graph, Random(SEED), 50))
    dropped = weakref.ref(network)

    del network

    assert dropped() is None


def test_what_fails_in_bytes_is_written_as_sums(branches, monkeypatch):
    graph = branches(Random(SEED))
    bytewise = [
        name for name, form in lay_out(graph).forms.items() if not isinstance(form, str)
    ]
    monkeypatch.setattr(
        counting,
        "failures",
        lambda layout, _: (
            frozenset(bytewise[:1]) - {n for n in layout.forms if is_sum(layout, n)}
        ),
    )

    with pytest.warns(RuntimeWarning, match=f"{bytewise[0]}; slower layers take their place"):
        layout = trusted_layout(graph)

    assert is_sum(layout, bytewise[0])
    assert not any(is_sum(layout, name) for name in bytewise[1:])


def test_a_runtime_that_cannot_add_is_refused(branches, monkeypatch):
    graph = branches(Random(SEED))
    monkeypatch.setattr(counting, "failures", lambda layout, _: frozenset(layout.forms))

    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(MissingDependencyError, match="adds up integers wrongly") as error,
    ):
        trusted_layout(graph)

    assert error.value.node in graph


def is_sum(layout, name):
    return isinstance(layout.forms[name], str)
