"""Counting gives what single spikes give, node by node, in every spiking phase."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolchain.errors import ConversionError
from toolchain.ir.counts import count, sweep
from toolchain.ir.reference import counts_of, evaluate
from toolchain.target import TARGETS
from toolchain.testing import compile_network, random_network, random_samples


@pytest.mark.parametrize("lowering", ["temporal", "spatial"])
@given(st.randoms())
def test_counts_are_those_of_the_spikes(lowering, random):
    network = random_network(random)
    x = random_samples(network, random, 4)
    target, levels = TARGETS["loihi2"], random.randint(1, 15)
    try:
        stages = compile_network(network, x, target, levels=levels, lowering=lowering)
    except ConversionError:
        assume(False)

    for graph in (stages.converted, stages.lowered, stages.quantized):
        values = evaluate(graph, x)
        for node, inputs, after in sweep(graph, x):
            np.testing.assert_array_equal(after, counts_of(values[node.name]))
            np.testing.assert_array_equal(count(node, *(inputs or (x,))), after)
