"""Stock netx gives each neuron the numbers that the circuit has for it."""

import numpy as np
import pytest

from targets.formats.netx_hdf5 import emit_netx
from targets.lava_compat import is_lava_installed
from targets.netx.run import run_on_netx
from targets.simulator.step import everything, run_stream
from toolchain.ir.mapped import Circuit, ConvSynapse, DenseSynapse, Lif, Source

MEMORYLESS = {"decay_u": 4096, "decay_v": 4096}


@pytest.mark.lava
@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 5, 7)], ids=["channels", "neurons"])
def test_stock_netx_gives_thresholds_to_the_neurons_they_are_for(tmp_path, shape):
    if not is_lava_installed():
        pytest.skip("lava-nc is not installed")
    rng = np.random.default_rng(0)
    circuit = thresholded(rng, shape)
    x = rng.integers(-50, 51, (5, 2, 5, 7))
    (path,) = emit_netx(circuit, tmp_path)

    stock = run_on_netx(path, circuit, x)

    ours = run_stream(circuit, x, record=everything(circuit))
    steps = np.arange(len(x))[:, None] + np.arange(circuit.latency)
    for name in ("a", "b"):
        assert 0.1 < stock.spikes[name].mean() < 0.9
        np.testing.assert_array_equal(ours.trace.spikes[name][0][steps], stock.spikes[name])


def thresholded(rng, shape):
    """Return a convolution and a dense layer of neurons with thresholds of their own."""
    return Circuit(
        name="net",
        sources=(Source(name="x", shape=(2, 5, 7), message_bits=8),),
        populations=(
            Lif(
                name="a", shape=(4, 5, 7), threshold=rng.integers(0, 5000, shape), **MEMORYLESS
            ),
            Lif(name="b", shape=(9,), threshold=rng.integers(0, 900, 9), **MEMORYLESS),
        ),
        synapses=(
            ConvSynapse(
                name="x>a",
                source="x",
                target="a",
                weight=rng.integers(-128, 128, (4, 2, 3, 3)),
                padding=(1, 1),
            ),
            DenseSynapse(
                name="a>b", source="a", target="b", weight=2 * rng.integers(-128, 128, (9, 140))
            ),
        ),
        inputs=("x",),
        period=1,
        latency=2,
    )
