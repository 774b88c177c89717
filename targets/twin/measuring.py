"""What samples cost on the chip, from their counts: spikes and synaptic operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from targets.simulator._contract import check_circuit
from targets.simulator.lazy_counts import LazyCounts
from targets.twin.activity import Census, FanOuts, censuses, fan_outs
from targets.twin.counting import CountingNetwork
from toolchain.engine import Execution, Sent
from toolchain.ir.mapped import Circuit
from toolchain.ir.snn import Spiking


class Measuring:
    """Runs samples and counts what the step engine would count of them."""

    def __init__(
        self, network: CountingNetwork, found: FanOuts, counted: Sequence[Census]
    ) -> None:
        """Take what `measuring_of` has found."""
        self._network, self._found, self._counted = network, found, counted
        ones = np.ones(len(found.payload))
        self._behind_inputs = np.stack([ones, found.payload.astype(np.float64)], axis=1)

    def __call__(self, inputs: npt.NDArray[np.int64]) -> Execution:
        """Run encoded samples ``(samples, *input shape)``."""
        network, found = self._network, self._found
        sums, activity = network.activity(inputs, self._counted)
        is_sent = (inputs != 0).reshape(len(inputs), -1).astype(np.float64)
        # of whole numbers, and so exact up to 2**53
        payloads, graded = (is_sent @ self._behind_inputs).astype(np.int64).T
        spikes = payloads + found.constant_spikes
        operations = graded + found.constant_operations
        sent = {
            name: Sent(found.repeats[name] * counted, caused)
            for name, (counted, caused) in activity.items()
        }
        for one in sent.values():
            spikes = spikes + one.spikes.sum(axis=1)
            operations = operations + one.synaptic_operations
        names = [node.name for node in network.layout.graph.of_type(Spiking)]
        return Execution(
            readout=sums,
            counts=LazyCounts(names, lambda: network.counts(inputs)),
            activity=sent,
            spikes_total=spikes,
            synaptic_operations=operations,
            graded_operations=graded + found.constant_graded,
        )


def measuring_of(network: CountingNetwork, circuit: Circuit) -> Measuring | None:
    """Return what measures a network on its circuit; `None` where counts do not tell.

    Raises:
        RangeError: The circuit has numbers that no register holds.
        VerifyError: It does not fit together.
    """
    check_circuit(circuit)
    found = fan_outs(network.layout.graph, circuit)
    counted = None if found is None else censuses(network.layout, found)
    return None if found is None or counted is None else Measuring(network, found, counted)
