"""Count mode computes the integers of the reference, in floating point that holds them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from targets.simulator import count
from targets.simulator.count import count_spikes
from toolchain.errors import ConversionError
from toolchain.ir.ann import Conv, Dense, Encoding, Input, MaxPool
from toolchain.ir.reference import compute, counts_of, evaluate
from toolchain.ir.snn import MultiThreshold, Spiking
from toolchain.target import TARGETS
from toolchain.testing import (
    chain_from,
    compile_network,
    extreme_inputs,
    random_network,
    random_samples,
    samples_of,
)


@given(st.randoms())
def test_counts_and_readout_are_those_of_the_reference(random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    try:
        graph = compile_network(
            network, x, TARGETS["loihi2"], levels=random.randint(1, 15), lowering="temporal"
        ).quantized
    except ConversionError:
        assume(False)
    encoded = extreme_inputs(graph, random, 4)
    values = evaluate(graph, samples_of(graph.input, encoded))

    result = count_spikes(graph, encoded)

    for node in graph.of_type(Spiking):
        np.testing.assert_array_equal(result.counts[node.name], counts_of(values[node.name]))
    np.testing.assert_array_equal(
        result.readout, counts_of(values[graph.producer(graph.output).name])
    )


@pytest.mark.parametrize("threshold", [3, 1118480, 1118481, 2**24 + 1, 2**40 + 3])
def test_one_below_a_multiple_of_the_threshold_is_one_spike_less(threshold):
    steps = np.arange(1, 16)
    neurons = MultiThreshold(name="n", levels=15, threshold=np.asarray(threshold))
    layer = Dense(
        name="sum",
        weight=np.concatenate([steps * threshold - 1, steps * threshold])[:, None],
        bias=np.zeros(()),
    )
    graph = chain_from(entry((1,)), layer, neurons)

    counts = count_spikes(graph, np.array([[1]])).counts["n"][0]

    np.testing.assert_array_equal(counts, np.concatenate([steps - 1, steps]))


def test_pools_of_overlapping_padded_windows_are_those_of_the_reference():
    x = np.random.default_rng(0).integers(0, 16, (3, 2, 7, 5))
    identity = Conv(
        name="c",
        weight=np.eye(2, dtype=np.int64)[:, :, None, None],
        bias=np.zeros(()),
    )
    neurons = MultiThreshold(name="n", levels=15)
    pool = MaxPool(name="p", kernel=(3, 2), stride=(2, 1), padding=((1, 0), (1, 1)))
    graph = chain_from(entry(x.shape[1:]), identity, neurons, pool)

    readout = count_spikes(graph, x).readout

    np.testing.assert_array_equal(readout, compute(pool, x.astype(np.float64)))


def test_batches_are_put_together_in_order(monkeypatch):
    layer = Dense(name="d", weight=np.array([[2]]), bias=np.zeros(()))
    graph = chain_from(entry((1,)), layer, MultiThreshold(name="n", levels=15))
    monkeypatch.setattr(count, "_BATCH_BYTES", 8)

    result = count_spikes(graph, np.arange(5)[:, None])

    assert result.counts["n"].ravel().tolist() == [0, 2, 4, 6, 8]


def entry(shape):
    return Input(
        name="x", inputs=(), shape=shape, source_shape=shape, encoding=Encoding(1.0, 0, 15)
    )
