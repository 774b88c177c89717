"""Circuits that several tests run, with what they must compute by plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse

from toolchain.ir.mapped import (
    Circuit,
    ConvSynapse,
    DenseSynapse,
    Lif,
    Readout,
    Source,
    SparseSynapse,
    Window,
)

LEVELS = 4
THRESHOLD = 40
FIRE = 2  # first fire step of the convolution


@dataclass(frozen=True)
class Case:
    """A circuit, samples, and the counts and outputs it must give."""

    circuit: Circuit
    inputs: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    pooled: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]


@pytest.fixture(scope="session")
def integrate_then_fire() -> Case:
    """Convolution that fires up to four times, max-pool as OR, dense readout; three samples.

    The image arrives in step 1, a gate closes then, opens in step `FIRE` and closes after
    `LEVELS` steps; every spike subtracts the threshold through a synapse to its own neuron.
    """
    random = np.random.default_rng(0)
    images = random.integers(-20, 20, (3, 2, 5, 4))
    kernels = random.integers(-30, 31, (3, 2, 3, 3))
    readout = 2 * random.integers(-60, 60, (5, 3 * 2 * 2))

    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    sums = np.einsum("nchwij,ocij->nohw", patches, kernels)
    counts = np.clip((sums + THRESHOLD // 2) // THRESHOLD, 0, LEVELS)
    pooled = counts[:, :, :4].reshape(3, 3, 2, 2, 2, 2).max((3, 5))
    outputs = pooled.reshape(3, -1) @ (readout // 2).T << 6

    return Case(_gated(kernels, readout), images, counts, pooled, outputs)


def _gated(kernels: npt.NDArray[np.int64], readout: npt.NDArray[np.int64]) -> Circuit:
    period = FIRE + LEVELS + 8
    events = ((0, -1), (FIRE - 1, 1), (FIRE + LEVELS - 1, -1))
    neurons = 3 * 5 * 4
    return Circuit(
        name="gated",
        sources=(
            Source(name="image", shape=(2, 5, 4), message_bits=6),
            Source(
                name="gate",
                shape=(1,),
                message_bits=2,
                events=tuple((step, np.array([sign])) for step, sign in events),
            ),
        ),
        populations=(
            Lif(
                name="conv",
                shape=(3, 5, 4),
                threshold=THRESHOLD - 1,
                decay_v=4096,
                bias_mantissa=THRESHOLD // 2,
                reset_interval=period,
            ),
            Lif(name="pool", shape=(3, 2, 2), threshold=0, decay_u=4096, decay_v=4096),
            Lif(
                name="logits",
                shape=(5,),
                threshold=131071,
                decay_v=4096,
                reset_interval=period,
            ),
        ),
        synapses=(
            ConvSynapse(
                name="image-conv", source="image", target="conv", weight=kernels, padding=(1, 1)
            ),
            SparseSynapse(
                name="gate-conv",
                source="gate",
                target="conv",
                weight=scipy.sparse.csr_matrix(np.full((neurons, 1), 32)),
                weight_exponent=11,
            ),
            SparseSynapse(
                name="conv-conv",
                source="conv",
                target="conv",
                weight=scipy.sparse.csr_matrix(-THRESHOLD // 2 * np.eye(neurons, dtype=int)),
                weight_exponent=1,
            ),
            ConvSynapse(
                name="conv-pool",
                source="conv",
                target="pool",
                weight=np.ones((3, 1, 2, 2), int),
                stride=(2, 2),
                groups=3,
            ),
            DenseSynapse(
                name="pool-logits",
                source="pool",
                target="logits",
                weight=readout,
                weight_exponent=-1,
            ),
        ),
        inputs=("image",),
        period=period,
        latency=period,
        windows={"conv": Window(FIRE, LEVELS), "pool": Window(FIRE + 1, LEVELS)},
        readouts=(Readout("logits", period - 1),),
    )
