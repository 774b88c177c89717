"""A circuit finds its parts by name and knows what drives a population."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.ir.mapped import Circuit, DenseSynapse, Lif, Source, Window


def circuit():
    ones = np.ones((2, 2), np.int64)
    return Circuit(
        name="loop",
        sources=(Source(name="in", shape=(2,)),),
        populations=(
            Lif(name="a", shape=(2,), threshold=3),
            Lif(name="b", shape=(2,), threshold=1),
        ),
        synapses=(
            DenseSynapse(name="in-a", source="in", target="a", weight=ones),
            DenseSynapse(name="a-b", source="a", target="b", weight=ones),
            DenseSynapse(name="a-a", source="a", target="a", weight=-ones),
        ),
        inputs=("in",),
        period=1,
        latency=3,
        windows={"a": Window(1, 1), "b": Window(2, 1)},
    )


def test_sources_and_populations_share_their_names():
    assert list(circuit().nodes) == ["in", "a", "b"]


@pytest.mark.parametrize(("target", "wanted"), [("a", ["in-a", "a-a"]), ("b", ["a-b"])])
def test_the_synapses_into_a_population_are_found(target, wanted):
    assert [synapse.name for synapse in circuit().into(target)] == wanted
