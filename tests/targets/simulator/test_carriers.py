"""What carries spikes holds wide weights while spikes arrive, and no longer."""

from __future__ import annotations

import numpy as np

from targets.simulator._carriers import ConvCarrier
from targets.simulator._emission import Emission
from toolchain.ir.mapped import ConvSynapse


def test_a_layer_that_has_fallen_silent_holds_no_wide_weights():
    weight = np.random.default_rng(0).integers(-9, 9, (4, 3, 3, 3)).astype(np.int8)
    synapse = ConvSynapse(name="c", source="a", target="b", weight=weight)
    carrier = ConvCarrier(synapse, (3, 5, 5), (4, 3, 3))
    carrier.start(1)
    spikes = Emission(np.ones((1, 75), np.bool_), 1)
    first = carrier.carry(spikes)
    held = [array.nbytes for array in carrier._held.values()]

    assert carrier.carry(None) is None

    assert (held, carrier._held) == ([4 * weight.size], {})
    np.testing.assert_array_equal(carrier.carry(spikes).values, first.values)
