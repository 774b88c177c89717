"""A circuit of one neuron, for tests that can be worked out by hand."""

import numpy as np
import pytest

from toolchain.ir.mapped import Circuit, DenseSynapse, Lif, Readout, Source, Window

NEVER = 1 << 17  # a threshold that no potential exceeds


def build_one_neuron(weight=100, bits=0, delay=None, exponent=0, events=(), **registers):
    """A source `in` of one neuron that drives the population `out` of one neuron."""
    return Circuit(
        name="one",
        sources=(Source(name="in", shape=(1,), message_bits=bits, events=events),),
        populations=(Lif(name="out", shape=(1,), **{"threshold": NEVER, **registers}),),
        synapses=(
            DenseSynapse(
                name="wire",
                source="in",
                target="out",
                weight=np.array([[weight]]),
                weight_exponent=exponent,
                delay=None if delay is None else np.array([delay]),
            ),
        ),
        inputs=("in",),
        period=4,
        latency=4,
        windows={"out": Window(1, 2)},
        readouts=(Readout("out", 2),),
    )


@pytest.fixture(scope="session")
def one_neuron():
    """Return a function that builds the circuit, with registers as asked."""
    return build_one_neuron
